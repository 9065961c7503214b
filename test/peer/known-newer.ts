import type { KnownDifference } from './known.ts';

/** What docker compose's own code does otherwise since version 2.40, or is a fault of that version. */
export const newer: readonly KnownDifference[] = [
  {
    name: 'attributes of later versions',
    dockerComposeSays: /additional properties '(?:pre_start|no_cache_filter)' not allowed/u,
  },
  {
    name: 'identical entries of a list',
    dockerComposeSays:
      /services\.\S+ (?:items at \d+ and \d+ are equal|must be a mapping$)|services\.[^.]+\.(?:networks|depends_on|extra_hosts|build\.extra_hosts) must be a mapping/u,
    differs: ({ dockerCompose, shoal }) => isWithoutRepeats(dockerCompose, shoal),
  },
  {
    name: 'two includes, or an include and its file, that say one thing',
    dockerComposeSays: /conflicts with imported resource/u,
  },
  {
    name: 'extending what is included',
    where: /include:/u,
    dockerComposeSays: /cannot extend service .* not found/u,
  },
  {
    name: 'branches of a variable that are not taken',
    where: /\$\{\w+:?[-+]\$\{/u,
    dockerComposeSays: /required variable \w+ is missing a value/u,
  },
  { name: 'YAML directives', dockerComposeSays: /found incompatible YAML document/u },
  {
    name: 'addresses of version 6 without brackets',
    dockerComposeSays: /too many colons in address/u,
  },
  {
    name: 'crashes of docker compose',
    dockerComposeSays: /panic: |goroutine \d+ \[running\]/u,
  },
  {
    name: 'a network that is called x-…',
    dockerComposeSays: /undefined network #extensions/u,
  },
  {
    name: 'a file mode in quotes',
    dockerComposeSays: /mode' (?:expected type 'uint32'|strconv\.ParseInt: parsing "0o)/u,
  },
  {
    name: 'microseconds as a duration',
    dockerComposeSays: /cpu_\w+: failed to cast to expected type: strconv\.ParseInt/u,
  },
  {
    name: 'a device without a target',
    dockerComposeSays: /service device \S+ is missing a mount target/u,
  },
  {
    name: 'a healthcheck without its test',
    dockerComposeSays: /healthcheck\.test must be a string/u,
  },
  {
    name: 'backslashes in a command line',
    differs: ({ path, dockerCompose, shoal }) =>
      /\.(?:command|entrypoint)\.\d+$/u.test(path) &&
      String(shoal).replaceAll('\n', 'n').replaceAll('\t', 't') === dockerCompose,
  },
  {
    name: 'build.ssh, printed',
    differs: ({ path }) => /\.build\.ssh\.\d+$/u.test(path),
  },
  {
    name: 'options of address management, printed',
    differs: ({ path, dockerCompose }) =>
      /^networks\.[^.]+\.ipam(?:\.options)?$/u.test(path) && dockerCompose === undefined,
  },
  {
    name: 'extensions that are not printed',
    differs: ({ path, dockerCompose }) => /\.x-[^.]*$/u.test(path) && dockerCompose === undefined,
  },
  {
    name: 'attributes that are not printed',
    differs: ({ path, dockerCompose }) => path.endsWith('.pull_refresh_after') && dockerCompose === undefined,
  },
  {
    name: 'device names with a colon',
    where: /=\w+:\d/u,
    differs: ({ path, shoal }) =>
      /\.devices\.\d+\.(?:source|target)$/u.test(path) && /=\w+:\d$/u.test(String(shoal)),
  },
  {
    name: 'dollar signs in keys',
    differs: ({ path }) => path.includes('$'),
  },
];

/** Whether the second list is the first without repeats. */
function isWithoutRepeats(repeated: unknown, single: unknown): boolean {
  if (!Array.isArray(repeated) || !Array.isArray(single) || single.length >= repeated.length) return false;
  const texts = repeated.map((item) => JSON.stringify(item));
  return JSON.stringify([...new Set(texts)]) === JSON.stringify(single.map((item) => JSON.stringify(item)));
}
