import type { KnownDifference } from './known.ts';

/** What both take, and one takes in fewer ways than the other or reads otherwise. */
export const readings: readonly KnownDifference[] = [
  {
    name: 'numbers for texts that are numbers',
    dockerComposeSays:
      /\.(?:uid|gid|stop_signal|device_ids\.\d+|memory) must be a string|: version must be a string|cpu_percent must be a string/u,
  },
  {
    name: 'numbers, true and false in quotes',
    dockerComposeSays:
      /\.gw_priority must be a number|context_size must be a integer|use_api_socket must be a boolean|weight' expected type 'uint16'|memswap_limit' invalid size: '-1'/u,
  },
  {
    name: 'dates, infinities and very large numbers as texts',
    where: /\d{4}-\d\d-\d\d|\.inf|\.nan|\d{17}|e\d{3}/iu,
    dockerComposeSays:
      /invalid jsonType time\.Time|non-string key in \S+: (?:[-+]Inf|NaN|\S+e\+\d+$|time\.Date)|services\.\S+ must be a (?:string|mapping)$|(?:file|content) must be a string/u,
    differs: ({ dockerCompose, shoal }) =>
      typeof shoal === 'string' &&
      ((/^[-+]?\.(?:inf|nan)$/iu.test(shoal) && /^(?:[-+]Inf|NaN)$/u.test(String(dockerCompose))) ||
        /^\d{4}-\d\d-\d\d$/u.test(shoal) ||
        /^-?\d{17,}$|e\d{3,}$/u.test(shoal)),
  },
  {
    name: 'whole numbers of seven digits that are written as fractions',
    differs: ({ dockerCompose, shoal }) =>
      /^-?\d(?:\.\d+)?e\+\d\d$/u.test(String(dockerCompose)) && Number(dockerCompose) === Number(shoal),
  },
  {
    name: 'files and documents with nothing in them',
    dockerComposeSays: /top-level object must be a mapping/u,
  },
  {
    name: 'fragments that a later file completes',
    where: /^---$/mu,
    dockerComposeSays:
      /missing property '\w+'|: services(?:\.[^.]+)? must be a mapping$|^services must be a mapping$/u,
  },
  {
    name: 'short and long forms over one another',
    dockerComposeSays: /cannot override services\.[^.]+\.(?:build\.ssh|gpus)/u,
  },
  {
    name: 'sources of bind mounts that are not there',
    where: /volumes/u,
    differs: ({ path, dockerCompose, shoal }) =>
      (/\.volumes\.\d+\.bind\.create_host_path$/u.test(path) &&
        dockerCompose === true &&
        shoal === undefined) ||
      (/\.volumes\.\d+\.bind$/u.test(path) &&
        shoal === undefined &&
        JSON.stringify(dockerCompose) === '{"create_host_path":true}'),
  },
  {
    name: 'secrets of a driver',
    dockerComposeSays: /secret "[^"]+" must declare either `file` or `environment`/u,
  },
  {
    name: 'tabs on empty lines',
    where: /^[ \t]*\t[ \t]*$/mu,
    dockerComposeSays:
      /found (?:a tab character that violates indentation|character that cannot start any token)/u,
  },
  {
    name: 'the tag !',
    where: /: ! \d/u,
    dockerComposeSays: /services\.web\.user must be a string/u,
  },
  {
    name: 'what says nothing, printed',
    differs: ({ path, dockerCompose, shoal }) =>
      dockerCompose === undefined &&
      !/\.(?:command|entrypoint|environment|labels)\b(?!$)/u.test(path) &&
      saysNothing(shoal),
  },
  {
    name: 'sizes that are fractions',
    differs: ({ path, dockerCompose }) => path.endsWith('.mem_limit') && dockerCompose === undefined,
  },
  {
    name: 'numbers of CPUs with more than seven digits',
    differs: ({ path, dockerCompose, shoal }) =>
      path.endsWith('.cpus') && Math.fround(Number(shoal)) === Math.fround(Number(dockerCompose)),
  },
  {
    name: 'targets of secrets and configs, when they are merged',
    differs: ({ path, dockerCompose, shoal }) => areFiles(path, dockerCompose, shoal),
  },
  {
    name: 'the order of extra_hosts, and spaces in them',
    differs: ({ path, dockerCompose, shoal }) =>
      /\.extra_hosts\.\d+$/u.test(path) &&
      typeof shoal === 'string' &&
      (!String(dockerCompose).includes(' ') || String(dockerCompose).replaceAll(' ', '') === shoal),
  },
  {
    name: 'restarting with a service that something is shared with',
    where: /service:/u,
    differs: ({ path, dockerCompose, shoal }) =>
      (/\.depends_on\.[^.]+\.restart$/u.test(path) && dockerCompose === true && shoal === undefined) ||
      (path.endsWith('.depends_on') &&
        shoal === undefined &&
        JSON.stringify(dockerCompose).includes('"restart":true')),
  },
  {
    name: 'dependencies that profiles leave out',
    differs: ({ path, dockerCompose, shoal }) =>
      /\.depends_on(?:\.[^.]+)?$/u.test(path) &&
      shoal === undefined &&
      JSON.stringify(dockerCompose).endsWith('"required":false}' + (path.endsWith('.depends_on') ? '}' : '')),
  },
  {
    name: 'options of another type of mount',
    differs: ({ path, shoal }) => /\.volumes\.\d+\.(?:bind|volume)$/u.test(path) && shoal === undefined,
  },
  {
    name: 'protocols in capitals',
    differs: ({ path, dockerCompose, shoal }) =>
      /\.ports\.\d+\.protocol$/u.test(path) && String(dockerCompose).toLowerCase() === shoal,
  },
  {
    name: 'ports whose host port is written as a number',
    where: /published: \d/u,
    differs: ({ path, dockerCompose, shoal }) => isRepeatedPort(path, dockerCompose, shoal),
  },
  {
    name: 'generic resources with half of them said',
    differs: ({ path, dockerCompose, shoal }) =>
      /\.discrete_resource_spec\.(?:kind|value)$/u.test(path) &&
      shoal === undefined &&
      (dockerCompose === '' || dockerCompose === 0),
  },
  {
    name: 'a bare name at the end of an environment file',
    where: /(?:^|["\n ])\w+$/mu,
    differs: ({ path, dockerCompose, shoal }) =>
      (/\.(?:environment|labels)\.$/u.test(path) && shoal === undefined) ||
      (path.endsWith('.environment.SET') && dockerCompose === undefined),
  },
  {
    name: 'short octal escapes in environment files',
    differs: ({ dockerCompose, shoal }) =>
      typeof shoal === 'string' && /\\0\d/u.test(shoal) && shoal.replace('\\0', '\\') === dockerCompose,
  },
  {
    name: 'names without values in an included map',
    where: /include:/u,
    differs: ({ path, dockerCompose, shoal }) =>
      /\.environment\.\w+$/u.test(path) && dockerCompose === null && typeof shoal === 'string',
  },
  {
    name: '!reset of a name in a list, and of what is included',
    where: /!reset/u,
    differs: ({ path, shoal }) =>
      shoal === undefined && /^services\.[^.]+(?:\.environment(?:\.A)?)?$/u.test(path),
  },
  {
    name: 'other people’s homes, backslashes and empty paths',
    differs: ({ path, shoal }) =>
      /(?:\.build\.context|\.source|\.file)$/u.test(path) && /^$|\/~\w|^\\/u.test(String(shoal)),
  },
  {
    name: 'line breaks that YAML had before',
    differs: ({ shoal }) => typeof shoal === 'string' && /[\u0085\u2028\u2029]/u.test(shoal),
  },
  {
    name: 'question marks in braces',
    where: /[[{,][^\n]*\?/u,
    dockerComposeSays: /did not find expected ','/u,
  },
  {
    name: 'documents after an end without a beginning',
    where: /^\.\.\.$/mu,
    dockerComposeSays: /did not find expected <document start>/u,
  },
  {
    name: 'colons before commas and brackets in braces',
    shoalSays: /: a map (?:cannot be used here; it must be a string$|is not NAME=value;)/u,
    where: /:[,\]}[{]/u,
    dockerComposeSays: /did not find expected ','/u,
    differs: ({ path, dockerCompose }) =>
      path.endsWith(':') || path.endsWith('.environment.NONE') || String(dockerCompose).endsWith(':'),
  },
];

/** Nothing, or a list or map of nothing. */
function saysNothing(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.values(value).every(saysNothing);
  return ['', false, 0, '0', '0s'].includes(value as string);
}

/** Whether Shoal has the later of two that are one file, and nothing of the other, which nobody uses then. */
function areFiles(path: string, dockerCompose: unknown, shoal: unknown): boolean {
  if (/^(?:secrets|configs)\.[^.]+$/u.test(path)) return shoal === undefined;
  if (!/^services\.[^.]+\.(?:secrets|configs)$/u.test(path)) return false;
  return Array.isArray(dockerCompose) && Array.isArray(shoal) && shoal.length < dockerCompose.length;
}

function isRepeatedPort(path: string, dockerCompose: unknown, shoal: unknown): boolean {
  if (!path.endsWith('.ports') || !Array.isArray(dockerCompose) || !Array.isArray(shoal)) return false;
  const keys = (ports: unknown[]) =>
    new Set(ports.map((port) => JSON.stringify({ ...(port as object), name: undefined, mode: undefined })));
  return keys(dockerCompose).size === keys(shoal).size;
}
