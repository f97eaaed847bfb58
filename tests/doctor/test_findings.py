"""Checks under deadlines."""

from __future__ import annotations

import time

from asyppo_cli.doctor.findings import Check, Finding, carry_out


def test_one_that_hangs_is_a_finding_and_holds_nobody_up() -> None:
    fine = Finding("b", "fine", "there")
    checks = [
        Check("a", lambda: time.sleep(60) or [], 0.2, needed=True),
        Check("b", lambda: [fine], 5.0),
        Check("c", lambda: time.sleep(60) or [], 0.2),
    ]
    started = time.monotonic()
    found = carry_out(checks)
    assert time.monotonic() - started < 5
    assert [(f.subject, f.state) for f in found] == [("a", "fault"), ("b", "fine"), ("c", "warning")]
    assert found[0].text == "no answer within 0.2 seconds"
