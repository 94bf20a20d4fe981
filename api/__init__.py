"""The calls behind the public face (`import tdpcheck`): the command line stands on them, and so can any program."""
