import { expect, test } from 'vitest';
import {
  closingText,
  entranceOf,
  firewallMessage,
  openingText,
  parseChains,
  suspects,
} from './foreign-firewall.ts';

const listed = `table ip filter {
	chain INPUT {
		type filter hook input priority filter; policy accept;
	}
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
	chain DOCKER-USER {
	}
}
table ip6 filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
}
table inet shoal {
	chain forward {
		type filter hook forward priority filter; policy accept;
	}
}
table inet firewalld {
	chain filter_FORWARD {
		type filter hook forward priority filter + 10; policy accept;
	}
	chain nat_POSTROUTING {
		type nat hook postrouting priority srcnat + 10; policy accept;
	}
}
`;

const { chains, names } = parseChains(listed);
const result = { outward: false, inward: true, dns: true };

test("other filters' chains are those of IPv4 that packets of containers meet", () => {
  expect(chains.map(({ family, table, name }) => `${family} ${table} ${name}`)).toEqual([
    'ip filter INPUT',
    'ip filter FORWARD',
    'inet firewalld filter_FORWARD',
  ]);
  expect(suspects(chains, result).map(({ hook }) => hook)).toEqual(['forward', 'forward']);
  expect(suspects(chains, { ...result, dns: false })).toHaveLength(3);
  expect(suspects(chains, { ...result, outward: true })).toEqual([]);
});

test('rules go where Docker leaves room for others, and else to the head of the chain itself', () => {
  // A table that follows one of Docker's has none of its chains.
  expect([...names].filter((name) => name.endsWith('DOCKER-USER'))).toEqual(['ip filter DOCKER-USER']);
  expect(chains.map((chain) => entranceOf(chain, names))).toEqual([
    'ip filter INPUT',
    'ip filter DOCKER-USER',
    'inet firewalld filter_FORWARD',
  ]);
});

const head = `table ip filter {
	chain DOCKER-USER { # handle 2
`;
const ours = (name: string, handle: number) =>
  `\t\t${name} "shb*" counter packets 0 bytes 0 accept comment "shoal" # handle ${handle}\n`;
const theirs = '\t\tcounter packets 0 bytes 0 return # handle 3\n';
const entrance = 'ip filter DOCKER-USER';

test('rules are added once, and moved to the head when something was put before them', () => {
  const fresh = openingText('forward', entrance, head + theirs, '1-2');
  expect(fresh.split('\n').slice(0, -1)).toEqual([
    'insert rule ip filter DOCKER-USER iifname "shb*" counter accept comment "shoal"',
    'insert rule ip filter DOCKER-USER oifname "shb*" counter accept comment "shoal"',
  ]);
  const there = ours('oifname', 7) + ours('iifname', 6);
  expect(openingText('forward', entrance, head + there + theirs, '1-2')).toBe('');
  expect(
    openingText('forward', entrance, head + theirs + there, '1-2')
      .split('\n')
      .slice(0, 3),
  ).toEqual([
    'delete rule ip filter DOCKER-USER handle 7',
    'delete rule ip filter DOCKER-USER handle 6',
    expect.stringMatching(/^insert/u),
  ]);
  expect(openingText('input', 'ip filter INPUT', '', '10053-10068')).toContain(
    'udp dport 10053-10068 counter accept',
  );
});

test('all of our rules are removed from the tables of others, and nothing else', () => {
  const own = `table inet shoal {\n\tchain forward {\n${ours('iifname', 9)}\t}\n}\n`;
  const ruleset = `${head}${ours('oifname', 7)}${theirs}${ours('iifname', 6)}\t}\n}\n${own}`;
  expect(closingText(ruleset)).toBe(
    'delete rule ip filter DOCKER-USER handle 7\ndelete rule ip filter DOCKER-USER handle 6\n',
  );
});

test('a person is told what is dropped, by whom, and what to do', () => {
  expect(firewallMessage(result, [chains[1]!], names, [])).toBe(
    'packets from containers to the outside are dropped by chain FORWARD of table ip filter (Docker); accept there what comes in or goes out by interfaces whose names begin with shb',
  );
  expect(firewallMessage({ ...result, inward: false }, [chains[2]!], names, ['filter'])).toContain(
    'chain filter_FORWARD of table inet firewalld (firewalld) or iptables-legacy (table filter)',
  );
  expect(firewallMessage(result, [], names, [])).toContain('another packet filter of this host');
});
