import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { debianLayers, type DebianSet } from './debian.ts';
import { buildImage, busyboxImage, nodeImage, programFiles, redisImage } from './image.ts';
import type { BuiltImage, ImageFile, ImageOptions, Layer } from './image.ts';
import { pushImage } from './registry.ts';

/**
 * The images that the samples use, made on this machine: some from programs that are installed here, most from Debian
 * packages. Each honours what the samples use of the official image of its name: settings in the environment, users,
 * folders, ports, commands. Pushes them to a registry:
 *
 *     node test/harness/sample-images.ts ADDRESS:PORT
 */

interface Recipe extends DebianSet {
  /** Accounts beside root, with the ids that the official image gives them. */
  accounts?: Record<string, number>;
  options: Omit<ImageOptions, 'directory' | 'from' | 'layers' | 'files'>;
  files: Record<string, ImageFile>;
}

const beside = (name: string, mode = 0o644): ImageFile => ({
  source: join(import.meta.dirname, 'images', name),
  mode,
});
const program = (name: string) => beside(name, 0o755);
const folder = (owner: number, mode = 0o755): ImageFile => ({ directory: true, owner, mode });
const entrypoint = '/usr/local/bin/docker-entrypoint.sh';
const nobody = 65534;
/** What an image based on busybox has to ask for its own health. */
const wget: Record<string, ImageFile> = { '/usr/local/bin/wget': { source: '/bin/busybox', mode: 0o755 } };

const databases: Record<string, Recipe> = {
  'mariadb:11': {
    packages: ['mariadb-server-core', 'mariadb-client-core'],
    without: ['usr/bin/innochecksum', 'usr/bin/mariadb-upgrade'],
    accounts: { mysql: 999 },
    files: {
      [entrypoint]: program('mariadb-entrypoint.sh'),
      '/usr/local/bin/healthcheck.sh': program('mariadb-healthcheck.sh'),
      '/var/lib/mysql': folder(999),
    },
    options: {
      entrypoint: [entrypoint],
      command: ['mariadbd'],
      volumes: ['/var/lib/mysql'],
      exposedPorts: ['3306/tcp'],
    },
  },
  'postgres:17': {
    packages: ['postgresql'],
    without: ['usr/lib/postgresql/*/lib/bitcode', 'usr/lib/postgresql/*/lib/llvmjit*', 'usr/share/i18n'],
    accounts: { postgres: 999 },
    files: {
      [entrypoint]: program('postgres-entrypoint.sh'),
      ...Object.fromEntries(
        ['initdb', 'pg_dump', 'pg_dumpall', 'pg_isready', 'postgres', 'psql'].map((name) => [
          `/usr/local/bin/${name}`,
          program('postgres-program.sh'),
        ]),
      ),
      '/var/lib/postgresql/data': folder(999, 0o700),
    },
    options: {
      entrypoint: [entrypoint],
      command: ['postgres'],
      environment: { PGDATA: '/var/lib/postgresql/data' },
      volumes: ['/var/lib/postgresql/data'],
      exposedPorts: ['5432/tcp'],
      stopSignal: 'SIGINT',
    },
  },
  'memcached:1.6': {
    packages: ['memcached'],
    accounts: { memcache: 11211 },
    files: {},
    options: { command: ['memcached'], user: 'memcache', exposedPorts: ['11211/tcp'] },
  },
};

const phpModules = ['ctype', 'iconv', 'mysqlnd', 'mysqli', 'tokenizer', 'xml'];

const webServers: Record<string, Recipe> = {
  'wordpress:6-apache': {
    packages: [
      'wordpress',
      'wordpress-theme-twentytwentythree',
      'libapache2-mod-php',
      'php-mysql',
      'php-xml',
      'curl',
    ],
    without: ['usr/bin/mariadb*', 'usr/bin/php*', 'usr/lib/x86_64-linux-gnu/dri'],
    accounts: { 'www-data': 33 },
    files: {
      [entrypoint]: program('wordpress-entrypoint.sh'),
      '/etc/apache2/wordpress.conf': beside('wordpress.conf'),
      '/usr/local/etc/php/conf.d/modules.ini': {
        content: phpModules.map((name) => `extension=${name}\n`).join(''),
      },
      '/usr/share/wordpress/wp-config.php': beside('wp-config.php'),
      '/usr/share/wordpress/wp-content/uploads': { link: '/var/www/html/wp-content/uploads' },
      '/var/www/html/wp-content/uploads': folder(33),
    },
    options: {
      entrypoint: [entrypoint],
      command: ['apache2', '-D', 'FOREGROUND', '-f', '/etc/apache2/wordpress.conf'],
      environment: { PHP_INI_SCAN_DIR: '/usr/local/etc/php/conf.d' },
      workingDirectory: '/var/www/html',
      exposedPorts: ['80/tcp'],
      stopSignal: 'SIGWINCH',
    },
  },
  'httpd:2.4': {
    packages: ['apache2-bin'],
    accounts: { 'www-data': 33 },
    files: {
      '/usr/local/apache2/conf/httpd.conf': beside('httpd.conf'),
      '/usr/local/apache2/htdocs/index.html': { content: '<h1>It works!</h1>\n' },
    },
    options: {
      command: ['apache2', '-D', 'FOREGROUND', '-f', '/usr/local/apache2/conf/httpd.conf'],
      exposedPorts: ['80/tcp'],
      stopSignal: 'SIGWINCH',
    },
  },
  'nginx:1.27': {
    packages: ['nginx-light'],
    accounts: { nginx: 101 },
    files: {
      '/etc/nginx/nginx.conf': beside('nginx.conf'),
      '/etc/nginx/conf.d/default.conf': beside('nginx-default.conf'),
    },
    options: {
      command: ['nginx', '-g', 'daemon off;'],
      exposedPorts: ['80/tcp'],
      stopSignal: 'SIGQUIT',
    },
  },
  'redmine:6': {
    packages: ['redmine', 'redmine-pgsql', 'puma'],
    files: {
      [entrypoint]: program('redmine-entrypoint.sh'),
      '/etc/redmine/default': folder(0),
      '/usr/src/redmine/files': folder(0),
      '/var/lib/redmine/default/files': { link: '/usr/src/redmine/files' },
      '/usr/share/redmine/Gemfile.local': { content: "gem 'puma'\n" },
      '/var/lib/redmine/default/config': { link: '/etc/redmine/default' },
      '/var/lib/redmine/default/tmp': folder(0),
      '/var/cache/redmine/default': folder(0),
      '/var/log/redmine/default': folder(0),
    },
    options: {
      entrypoint: [entrypoint],
      command: ['rails', 'server', '--binding', '0.0.0.0'],
      environment: {
        LANG: 'C.UTF-8',
        RAILS_ENV: 'production',
        REDMINE_INSTANCE: 'default',
        SCHEMA: '/dev/null',
      },
      volumes: ['/usr/src/redmine/files'],
      exposedPorts: ['3000/tcp'],
    },
  },
  'php:8.3-fpm': {
    packages: ['php-fpm'],
    accounts: { 'www-data': 33 },
    files: {
      '/usr/local/bin/php-fpm': program('php-fpm.sh'),
      '/usr/local/etc/php-fpm.conf': beside('php-fpm.conf'),
      '/var/www/html': folder(33),
    },
    options: {
      command: ['php-fpm'],
      environment: { PHP_INI_SCAN_DIR: '/usr/local/etc/php/conf.d' },
      workingDirectory: '/var/www/html',
      exposedPorts: ['9000/tcp'],
      stopSignal: 'SIGQUIT',
    },
  },
  'haproxy:3.1': {
    packages: ['haproxy'],
    accounts: { haproxy: 99 },
    files: {},
    options: {
      command: ['haproxy', '-W', '-db', '-f', '/usr/local/etc/haproxy/haproxy.cfg'],
      user: 'haproxy',
      stopSignal: 'SIGUSR1',
    },
  },
};

const others: Record<string, Recipe> = {
  'eclipse-mosquitto:2': {
    packages: ['mosquitto', 'mosquitto-clients'],
    accounts: { mosquitto: 1883 },
    files: {
      '/mosquitto/config': folder(1883),
      '/mosquitto/data': folder(1883),
      '/mosquitto/log': folder(1883),
    },
    options: {
      command: ['/usr/sbin/mosquitto', '-c', '/mosquitto/config/mosquitto.conf'],
      volumes: ['/mosquitto/data', '/mosquitto/log'],
      exposedPorts: ['1883/tcp'],
    },
  },
  'prometheus:v3.5.0': {
    packages: ['prometheus'],
    without: ['usr/bin/promtool', 'usr/share/javascript', 'usr/share/nodejs'],
    accounts: { nobody },
    files: { ...wget, '/prometheus': folder(nobody) },
    options: {
      entrypoint: ['/usr/bin/prometheus'],
      command: ['--config.file=/etc/prometheus/prometheus.yml', '--storage.tsdb.path=/prometheus'],
      user: 'nobody',
      workingDirectory: '/prometheus',
      volumes: ['/prometheus'],
      exposedPorts: ['9090/tcp'],
    },
  },
  'node-exporter:v1.9.1': {
    packages: ['prometheus-node-exporter'],
    accounts: { nobody },
    files: {},
    options: {
      entrypoint: ['/usr/bin/prometheus-node-exporter'],
      user: 'nobody',
      exposedPorts: ['9100/tcp'],
    },
  },
  'alertmanager:v0.28.1': {
    packages: ['prometheus-alertmanager'],
    without: ['usr/bin/amtool'],
    accounts: { nobody },
    files: { ...wget, '/alertmanager': folder(nobody) },
    options: {
      entrypoint: ['/usr/bin/prometheus-alertmanager'],
      command: ['--config.file=/etc/alertmanager/alertmanager.yml', '--storage.path=/alertmanager'],
      user: 'nobody',
      workingDirectory: '/alertmanager',
      volumes: ['/alertmanager'],
      exposedPorts: ['9093/tcp'],
    },
  },
};

const recipes = { ...databases, ...webServers, ...others };

/** The names of the images that need Debian packages. */
export const debianImageNames = Object.keys(recipes);

async function debianImage(directory: string, recipe: Recipe, layers: Layer[]): Promise<BuiltImage> {
  const accounts = Object.entries({ root: 0, ...recipe.accounts });
  return await buildImage({
    directory,
    layers,
    files: {
      '/etc/passwd': { content: accounts.map(([name, id]) => `${name}:x:${id}:${id}::/:/bin/sh\n`).join('') },
      '/etc/group': { content: accounts.map(([name, id]) => `${name}:x:${id}:\n`).join('') },
      '/tmp': { directory: true, mode: 0o1777 },
      ...recipe.files,
    },
    ...recipe.options,
  });
}

/** Debian's docker-registry, which the machine has, with a shell beside it; like `registry:2` in use. */
async function registryImage(directory: string): Promise<BuiltImage> {
  return await buildImage({
    directory,
    from: await busyboxImage(directory),
    files: {
      ...(await programFiles('/usr/bin/docker-registry', '/bin/registry')),
      '/etc/docker/registry/config.yml': {
        content:
          'version: 0.1\nstorage:\n  filesystem: { rootdirectory: /var/lib/registry }\nhttp: { addr: ":5000" }\n',
      },
    },
    entrypoint: [],
    command: ['registry', 'serve', '/etc/docker/registry/config.yml'],
    volumes: ['/var/lib/registry'],
    exposedPorts: ['5000/tcp'],
  });
}

/** Makes the images of the samples in `directory`, or only those named of the ones that need Debian packages; by their names. */
export async function makeSampleImages(
  directory: string,
  names: string[] = debianImageNames,
): Promise<Record<string, BuiltImage>> {
  const wanted = Object.fromEntries(names.map((name) => [name, recipes[name]!]));
  const layers = await debianLayers(wanted);
  const redis = await redisImage(directory);
  const images: Record<string, BuiltImage> = {
    'node:24-bookworm-slim': await nodeImage(directory),
    'redis:7-bookworm': redis,
    'redis:7-alpine': redis,
    'registry:2': await registryImage(directory),
  };
  for (const [name, recipe] of Object.entries(wanted)) {
    images[name] = await debianImage(directory, recipe, layers[name]!);
  }
  return images;
}

/** Pushes images to `registry` (`ADDRESS:PORT`) as `library/NAME`. */
export async function pushSampleImages(registry: string, images: Record<string, BuiltImage>): Promise<void> {
  let last: string | undefined; // has the base layer that the next one has too
  for (const [name, image] of Object.entries(images)) {
    await pushImage(registry, `library/${name}`, image, last);
    last = `library/${name.split(':')[0]}`;
  }
}

async function main(): Promise<void> {
  const [registry, ...names] = process.argv.slice(2);
  const unknown = names.find((name) => !debianImageNames.includes(name));
  if (registry === undefined || unknown !== undefined) {
    process.stderr.write('Usage: node test/harness/sample-images.ts ADDRESS:PORT [NAME…]\n');
    process.stderr.write(`NAME is one of ${debianImageNames.join(', ')}.\n`);
    process.exitCode = 2;
    return;
  }
  const directory = await mkdtemp(join(tmpdir(), 'shoal-images-'));
  try {
    await pushSampleImages(registry, await makeSampleImages(directory, names.length > 0 ? names : undefined));
    process.stdout.write(`Pushed. Now: REGISTRY=${registry}/library shoal up\n`);
  } finally {
    await rm(directory, { recursive: true });
  }
}

if (import.meta.main) await main();
