"""The store: jobs, attempts, instances, events and the leadership, in any database that SQLAlchemy speaks."""
