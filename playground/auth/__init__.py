"""Who asks and from where: logins, proxies, names of this server, cookies and secrets."""
