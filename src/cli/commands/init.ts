import { defaultAddressPool, defaultSubnetPrefix } from '../../spec/defaults.ts';
import { localPrefix, type InitRequest, type JoinTokens, type LocalInfo } from '../../wire/api.ts';
import { wholeNumber } from '../arguments.ts';
import { exitCodes, type Command } from '../command.ts';

/** Making a cluster includes making a certificate authority and starting the manager. */
export const membershipTimeoutMs = 60_000;

export const command: Command = {
  name: 'init',
  summary: 'Make a new cluster with this host as its manager.',
  options: {
    'advertise-address': {
      value: 'ADDRESS',
      help: 'Address of this host that the other hosts reach (default: that of the default route)',
    },
    'address-pool': { value: 'CIDR', help: `Where networks are cut from (default ${defaultAddressPool})` },
    'subnet-prefix': {
      value: 'BITS',
      help: `Prefix length of each network (default ${defaultSubnetPrefix})`,
    },
    json: { help: 'Print the result as JSON' },
  },
  examples: [
    'shoal init',
    'shoal init --advertise-address 192.168.1.10',
    'shoal init --address-pool 172.30.0.0/16 --subnet-prefix 24',
  ],
  async run(context, parsed) {
    const prefix = parsed.value('subnet-prefix');
    const request: InitRequest = {
      advertiseAddress: parsed.value('advertise-address'),
      addressPool: parsed.value('address-pool'),
      subnetPrefix: prefix === undefined ? undefined : wholeNumber(prefix, 'a prefix length', 8),
    };
    const client = await context.client();
    const result = await client.request<LocalInfo & { tokens: JoinTokens }>(
      'POST',
      `${localPrefix}/init`,
      request,
      {
        timeoutMs: membershipTimeoutMs,
      },
    );
    if (parsed.flag('json')) context.output.print(JSON.stringify(result, null, 2));
    else {
      context.output.note(
        `This host is the manager of cluster ${result.clusterId}, as node ${result.nodeId}.`,
      );
      context.output.note('To join another host, run there:');
      context.output.print(
        `shoal join --token ${result.tokens.worker} ${result.tokens.addresses[0] ?? 'MANAGER:2377'}`,
      );
      context.output.note('For two more managers, so that any one may be lost: `shoal token manager`.');
    }
    return exitCodes.done;
  },
};
