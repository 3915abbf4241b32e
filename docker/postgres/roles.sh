#!/bin/sh
# Run by the postgres image once, when its volume is empty: a role and a database for every address among the secrets.
# Nobody else may connect to them.
set -eu

for file in "${SECRETS:-/run/secrets}"/g2face_*_url; do
    address=$(cat "$file") # postgresql://role:password@host/database
    case $address in postgresql://*) ;; *) continue ;; esac
    login=${address#postgresql://}
    login=${login%%@*}
    role=${login%%:*} password=${login#*:} database=${address##*/} \
        psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv role role
\getenv password password
\getenv database database
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"database" OWNER :"role";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
SQL
done
