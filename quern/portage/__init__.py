"""What quern knows of Portage: its configuration, repositories, profiles, plans, binary packages and failures."""
