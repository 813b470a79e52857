"""The endpoints, one file a noun; they do HTTP and delegate the rest."""
