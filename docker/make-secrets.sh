#!/bin/sh
# Makes the secrets that docker-compose.yml mounts: docker/make-secrets.sh [FOLDER]. What is there already is kept.
#
# Each file is its own secret, mounted only where it is needed. The folder is closed to everybody but its owner, while
# the files can be read by anybody who gets there: a container that has one mounted runs as another user than you.
set -eu
umask 077
folder=${1:-secrets}
mkdir -p "$folder"

random() { # 256 bits in hex
    head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

secret() { # name, content
    if [ ! -e "$folder/$1" ]; then
        printf '%s\n' "$2" > "$folder/.$1.partial"
        chmod 0444 "$folder/.$1.partial"
        mv "$folder/.$1.partial" "$folder/$1"
    fi
}

# Our own settings, named as in .env.example. The databases and Redis read their passwords out of the addresses.
secret g2face_database_url "postgresql://g2face_ledger:$(random)@postgres/g2face_ledger"
secret g2face_custody__vault_url "postgresql://g2face_vault:$(random)@postgres/g2face_vault"
secret g2face_custody__keys_url "postgresql://g2face_keys:$(random)@postgres-keys/g2face_keys"
secret g2face_redis_url "redis://:$(random)@redis:6379/0"
secret g2face_plugin__link_key "$(random)"
secret g2face_plugin__path_secret "$(random)"
secret g2face_intake__session_key "$(random)"
secret g2face_admin__session_key "$(random)"
secret g2face_labelstudio__api_key "" # comes from Label Studio: docs/deployment.md
secret g2face_worker__admin_token "" # from the admin, for pilot reports: docs/deployment.md
secret g2face_custody__transit_token "" # from HashiCorp Vault, if that keeps the master key
secret g2face_admin__oidc_client_secret "" # from the OpenID Connect provider, if there is one

# The servers' own administrators, which no program uses.
secret postgres_password "$(random)"
secret postgres_keys_password "$(random)"

# Label Studio: its database, and its first account's password.
secret label_studio_database_password "$(random)"
secret label_studio_env "export POSTGRE_PASSWORD=$(cat "$folder/label_studio_database_password")
export LABEL_STUDIO_PASSWORD=$(random)"
