"""The algorithm as pure tensor functions: no I/O, no configuration, no logging.

Shape legend of all modules: ``M`` critics, ``B`` responses, ``T`` tokens. ``mask`` is True at response tokens, which
come first in each row; padding is never read, and holds 0 (False) in every result.
"""
