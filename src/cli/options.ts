import type { OptionSpec } from './command.ts';

/** Options of every command that works on one application, as `docker compose` names them. */
export const applicationOptions: Record<string, OptionSpec> = {
  file: {
    short: 'f',
    value: 'FILE',
    multiple: true,
    help: 'Compose file; `-` reads standard input (default: compose.yaml)',
  },
  'project-name': {
    short: 'p',
    value: 'NAME',
    help: 'Name of the application (default: from the file or its folder)',
  },
  'project-directory': {
    value: 'DIR',
    help: 'What relative paths are relative to (default: the folder of the first file)',
  },
  profile: { value: 'NAME', multiple: true, help: 'Profile to activate, besides those of $COMPOSE_PROFILES' },
  'env-file': { value: 'FILE', multiple: true, help: 'Variables for the file (default: .env beside it)' },
};
