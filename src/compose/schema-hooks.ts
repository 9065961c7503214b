import { boolean, commandLine, keyValues, object, text } from './attribute.ts';
import type { Attribute } from './attribute.ts';

/** A command that is run beside the program of a container. */
export const hookAttributes: Record<string, Attribute> = {
  command: { ...commandLine, type: 'array', minItems: 1 },
  user: text,
  privileged: boolean,
  working_dir: { type: 'string', is: 'absolutePath', says: 'an absolute path in the container' },
  environment: keyValues,
};

/** How a command that is run beside or before a service's own differs from it. */
const process: Record<string, Attribute> = {
  ...hookAttributes,
  user: { ...text, cluster: 'otherwise the service’s' },
  environment: { ...keyValues, cluster: 'laid over the service’s; a name without a value is left out' },
};

/** Commands that are run in a service's containers. */
export function hooks(cluster: string): Attribute {
  const hook = object(
    {
      ...process,
      privileged: {
        ...boolean,
        cluster: 'with all capabilities; calls that the container may not make stay denied',
      },
    },
    { required: ['command'] },
  );
  return { type: 'array', items: hook, merge: 'append', says: 'a list of maps with command', cluster };
}

/** Containers that are run to their ends before a service's own. */
export const initContainers: Attribute = {
  type: 'array',
  items: object({
    ...process,
    command: { ...commandLine, cluster: 'otherwise the service’s, or that of the image named here' },
    image: {
      type: 'string',
      is: 'imageReference',
      says: 'the name of an image',
      cluster: 'otherwise the service’s',
    },
    per_replica: {
      ...boolean,
      cluster:
        'true: before each replica, on its host; otherwise once for each version of the service: by the first replica that is placed, while the others wait; an up that changes the service makes a version, a restart or more replicas do not; a host lost in the middle has the next one run it again',
    },
  }),
  merge: 'append',
  says: 'a list of maps with command or image',
  cluster:
    'each runs to its end, with the service’s mounts and networks, and must end with 0; otherwise the replica has failed, and the restart policy decides',
};
