import { fullName } from '../spec/names.ts';
import type { Service } from '../spec/service.ts';
import { codeOf, ShoalError } from '../util/errors.ts';
import { nearest } from '../util/text.ts';
import { loadProjectPlace } from '../compose/load.ts';
import { loadOptions } from './application.ts';
import type { Context, ParsedArguments } from './command.ts';

/** `directory`: the project's (absolute), where a file said the name or was found there; absent where the name was given. */
interface NamedApplication {
  name: string;
  directory?: string;
}

/**
 * The application a command is about: `-p`, else `COMPOSE_PROJECT_NAME`, else what the Compose file says (`-f`, or the one
 * in this folder); undefined when nothing says it.
 */
export async function applicationName(
  context: Context,
  parsed: ParsedArguments,
): Promise<string | undefined> {
  return (await namedApplication(context, parsed))?.name;
}

/** The same, with where it was named. */
export async function namedApplication(
  context: Context,
  parsed: ParsedArguments,
): Promise<NamedApplication | undefined> {
  const name = parsed.value('project-name') ?? context.environment['COMPOSE_PROJECT_NAME'];
  if (name) return { name };
  try {
    return await loadProjectPlace(await loadOptions(context, parsed));
  } catch (error) {
    if (codeOf(error) === 'not_found' && parsed.values('file').length === 0) return undefined;
    throw error;
  }
}

/** What is said of an application of which there is nothing, when it was asked for by name or by the folder. */
export function noApplication(name: string): ShoalError {
  return new ShoalError('not_found', `Cannot find an application called ${JSON.stringify(name)}`, {
    next: 'See `shoal ls` for the applications there are, or bring it up with `shoal up`.',
  });
}

/**
 * The services that names mean: full names anywhere, keys and names of containers within the application. Throws `not_found`
 * with a suggestion.
 */
export function pickServices(
  services: Service[],
  application: string | undefined,
  names: string[],
): Service[] {
  const live = services.filter((service) => !service.removing);
  return names.map((name) => {
    const found =
      (application === undefined
        ? undefined
        : live.find((service) => service.spec.name === fullName(application, name))) ??
      live.find((service) => service.spec.name === name || service.id === name) ??
      live.find(
        ({ spec }) =>
          spec.containerName === name && (application === undefined || spec.application === application),
      );
    if (found) return found;
    const guess = nearest(
      name,
      live.map((service) => service.spec.name),
    );
    throw new ShoalError(
      'not_found',
      `Cannot find service ${JSON.stringify(name)}${application ? ` in ${application}` : ''}`,
      {
        next: guess ? `Did you mean ${guess}?` : 'See `shoal ps`.',
      },
    );
  });
}
