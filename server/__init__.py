"""HTTP around :class:`anybind.AnyBind`: search, mixing, answers, and the page for them."""
