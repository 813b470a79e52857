"""The endpoints, one file per noun. They handle HTTP and delegate the rest."""
