"""Hours in minutes: readers, engines that fail, replicas that restart, and what must hold then."""
