#!/bin/bash
# The first process of the stand-in for the redmine image: brings the tables of PostgreSQL up to date, then runs the server.
set -euo pipefail

if [ "$1" != rails ]; then exec "$@"; fi
cat > /etc/redmine/default/database.yml << SETTINGS
production:
  adapter: postgresql
  host: "$REDMINE_DB_POSTGRES"
  database: "${REDMINE_DB_DATABASE:-redmine}"
  username: "${REDMINE_DB_USERNAME:-redmine}"
  password: "${REDMINE_DB_PASSWORD:-}"
SETTINGS
# the same in every replica and after a restart
echo "$REDMINE_DB_PASSWORD" | sha256sum | cut -d' ' -f1 > /etc/redmine/default/secret_key.txt
cd /usr/share/redmine
bundle install --local --quiet
bundle exec rake db:migrate > /dev/null
exec bundle exec "$@"
