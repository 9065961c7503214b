import type { Service } from '../../spec/service.ts';
import { ShoalError } from '../../util/errors.ts';
import { wholeNumber } from '../arguments.ts';
import { applicationOptions } from '../options.ts';
import { exitCodes, type Command } from '../command.ts';
import { progressOf } from '../convergence.ts';
import { follow } from '../follow.ts';
import { applicationName, pickServices } from '../reference.ts';
import { scalingOrder } from '../scaling.ts';

const defaultTimeoutSeconds = 300;

function readTargets(words: string[]): { name: string; replicas: number }[] {
  return words.map((word) => {
    const [name, replicas, ...rest] = word.split('=');
    if (!name || replicas === undefined || rest.length > 0) {
      throw new ShoalError(
        'invalid_argument',
        `Cannot read ${JSON.stringify(word)}: it must be SERVICE=REPLICAS, such as web=6`,
      );
    }
    return { name, replicas: wholeNumber(replicas, 'a number of replicas') };
  });
}

export const command: Command = {
  name: 'scale',
  summary: 'Set how many replicas services have.',
  positionals: 'SERVICE=REPLICAS...',
  positionalsMin: 1,
  positionalsMax: 1000,
  options: {
    ...applicationOptions,
    detach: { short: 'd', help: 'Return at once, without waiting' },
    timeout: { value: 'SECONDS', help: `How long to wait (default ${defaultTimeoutSeconds})` },
  },
  examples: ['shoal scale web=6', 'shoal scale guestbook_web=6 guestbook_worker=2'],
  async run(context, parsed) {
    const timeoutMs =
      wholeNumber(parsed.value('timeout') ?? String(defaultTimeoutSeconds), 'a time-out in seconds', 1) *
      1000;
    const targets = readTargets(parsed.positionals);
    const application = await applicationName(context, parsed);
    const client = await context.client();
    const services = await client.request<Service[]>('GET', '/services');
    const picked = pickServices(
      services,
      application,
      targets.map(({ name }) => name),
    );
    const wished = picked.map((service, index) => ({ service, replicas: targets[index]!.replicas }));
    const scaled: Service[] = [];
    for (const { service, replicas } of scalingOrder(wished)) {
      const body = { replicas };
      scaled.push(await client.request<Service>('POST', `/services/${service.id}/scale`, body));
    }
    if (parsed.flag('detach')) return exitCodes.done;
    const failures: string[] = [];
    for (const name of new Set(scaled.map((service) => service.spec.application))) {
      const mine = new Set(scaled.filter((service) => service.spec.application === name).map(({ id }) => id));
      const status = await follow(context, {
        application: name,
        fromRevision: Math.max(...scaled.map(({ revision }) => revision)),
        timeoutMs,
        quiet: false,
        until: (latest, now) =>
          latest.services.every(
            (each) => !mine.has(each.service.id) || progressOf(each, now).state !== 'converging',
          ),
      });
      for (const each of status.services) {
        if (mine.has(each.service.id) && each.failure !== undefined)
          failures.push(`  ${each.service.spec.name}: ${each.failure}`);
      }
    }
    if (failures.length === 0) return exitCodes.done;
    throw new ShoalError(
      'failed_precondition',
      `Cannot reach the number of replicas:\n${failures.join('\n')}`,
      { next: 'See `shoal ps`.' },
    );
  },
};
