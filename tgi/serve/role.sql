-- Run once, when PostgreSQL makes its files: a role for the page, to which its database belongs and
-- nothing else. The superuser, which had the same password until here, is left without any: it logs in
-- from inside of its container alone.
\getenv password POSTGRES_PASSWORD
CREATE ROLE playground LOGIN PASSWORD :'password';
CREATE DATABASE playground OWNER playground;
ALTER ROLE CURRENT_USER PASSWORD NULL;
