<?php
// Settings of the stand-in for the wordpress image: all from WORDPRESS_* or the files that WORDPRESS_*_FILE name.
function setting(string $name, string $otherwise = ''): string {
    $file = getenv("{$name}_FILE");
    if ($file !== false) return rtrim(file_get_contents($file), "\r\n");
    $value = getenv($name);
    return $value === false ? $otherwise : $value;
}

define('DB_HOST', setting('WORDPRESS_DB_HOST', 'mysql'));
define('DB_USER', setting('WORDPRESS_DB_USER', 'wordpress'));
define('DB_NAME', setting('WORDPRESS_DB_NAME', 'wordpress'));
define('DB_PASSWORD', setting('WORDPRESS_DB_PASSWORD'));
define('DB_CHARSET', 'utf8mb4');
define('DB_COLLATE', '');
// one key for each use, the same in every replica and after a restart
foreach (['AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE'] as $use) {
    define("{$use}_KEY", hash('sha256', "$use key " . DB_PASSWORD));
    define("{$use}_SALT", hash('sha256', "$use salt " . DB_PASSWORD));
}
define('WP_CONTENT_DIR', '/usr/share/wordpress/wp-content');
define('AUTOMATIC_UPDATER_DISABLED', true);
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('DISABLE_WP_CRON', true);
$table_prefix = setting('WORDPRESS_TABLE_PREFIX', 'wp_');
if (!defined('ABSPATH')) define('ABSPATH', '/usr/share/wordpress/');
require_once ABSPATH . 'wp-settings.php';
