"""What a report tells, a subject a file: what is known in, sections out."""
