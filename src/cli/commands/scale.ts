import type { Service } from '../../spec/service.ts';
import { ShoalError } from '../../util/errors.ts';
import { wholeNumber } from '../arguments.ts';
import { applicationOptions } from '../options.ts';
import { exitCodes, type Command } from '../command.ts';
import { follow } from '../follow.ts';
import { applicationName, pickServices } from '../reference.ts';
import { scalingOrder } from '../scaling.ts';
import { askedOf, scaleVerdict } from '../verdict.ts';
import type { ApplicationStatus } from '../../wire/api.ts';

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
    for (const { spec, stopped } of scaled) {
      if (stopped !== true) continue;
      context.output.note(`${spec.name} is stopped: \`shoal start ${spec.name}\` starts it with that many`);
    }
    if (parsed.flag('detach')) return exitCodes.done;
    const begun = scaled.filter(({ stopped }) => stopped !== true);
    const failures: string[] = [];
    const overtaken: string[] = [];
    for (const [name, group] of Map.groupBy(begun, ({ spec }) => spec.application)) {
      const verdictsOn = ({ services }: ApplicationStatus, now: number) =>
        group.map((service) => {
          const status = services.find((each) => each.service.spec.name === service.spec.name);
          return { name: service.spec.name, verdict: scaleVerdict(askedOf(service), status, now) };
        });
      const status = await follow(context, {
        application: name,
        fromRevision: Math.max(...group.map(({ revision }) => revision)),
        timeoutMs,
        quiet: false,
        until: (latest, now) =>
          verdictsOn(latest, now).every(({ verdict }) => verdict.state !== 'converging'),
      });
      for (const { name: service, verdict } of verdictsOn(status, status.now)) {
        if (verdict.state === 'failed') failures.push(`  ${service}: ${verdict.reason}`);
        if (verdict.state === 'overtaken') overtaken.push(`  ${service}: ${verdict.reason}`);
      }
    }
    if (failures.length + overtaken.length === 0) return exitCodes.done;
    throw new ShoalError(
      failures.length > 0 ? 'failed_precondition' : 'overtaken',
      `Cannot reach the number of replicas:\n${[...failures, ...overtaken].join('\n')}`,
      { next: 'See `shoal ps`.' },
    );
  },
};
