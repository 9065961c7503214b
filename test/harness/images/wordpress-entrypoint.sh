#!/bin/bash
# The first process of the stand-in for the wordpress image.
set -euo pipefail
echo "LoadModule php_module $(echo /usr/lib/apache2/modules/libphp*.so)" > /etc/apache2/php.conf
chown www-data:www-data /var/www/html/wp-content/uploads
exec "$@"
