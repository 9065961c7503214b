#!/bin/sh
# Debian's PHP has its version in its name.
exec /usr/sbin/php-fpm*[0-9] --nodaemonize --fpm-config /usr/local/etc/php-fpm.conf "$@"
