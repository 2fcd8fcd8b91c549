"""The HTTP API: what nodes report and are told, and what people ask and wish for."""
