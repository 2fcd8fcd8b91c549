"""The rules of `decide`, in the order in which it applies them. Pure."""
