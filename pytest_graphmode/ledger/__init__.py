"""What was built and why: events of the frameworks, gathered into ledgers. Nothing here knows a framework."""
