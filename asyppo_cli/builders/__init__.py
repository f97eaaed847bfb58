"""The one place where a configuration becomes objects. Imported only when work really begins: it loads torch."""
