"""Why the properties hold, for every size: lemmas about the machine, the tables, the threads and where they stand."""
