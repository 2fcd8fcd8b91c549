"""The job file: what a person may write in it, how it is read, and how the working folder is packed."""
