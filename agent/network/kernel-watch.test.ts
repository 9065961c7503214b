import { expect, test } from 'vitest';
import { changeOfIpLine, changeOfNftLine } from './kernel-watch.ts';

test.each([
  ['2: shbfront00000: <BROADCAST,MULTICAST> mtu 1500 qdisc noqueue state DOWN group default', 'links'],
  ['Deleted 7: shvabcdefghij0@NONE: <BROADCAST,MULTICAST> mtu 1450 state DOWN group default', 'links'],
  ['Deleted dev shxfront00000 lladdr 0a:53:0a:40:00:09 PERMANENT', 'links'],
  ['10.64.0.22 dev shbfront00000 lladdr 02:00:00:00:00:01 PERMANENT', 'links'],
  ['Deleted 10.64.0.22 dev shbfront00000 FAILED', 'links'],
  ['Deleted 10.64.8.0/21 dev shbfront00000 scope link', 'links'],
  ['inet all forwarding off', 'links'],
  ['inet shbfront00000 rp_filter off', 'links'],
  ['10.64.0.9 dev shbfront00000 lladdr 0a:53:0a:40:00:09 REACHABLE', undefined],
  ['10.64.0.9 dev shbfront00000 FAILED', undefined],
  ['3: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP', undefined],
  ['192.0.2.7 dev eth0 lladdr 02:00:00:00:00:07 PERMANENT', undefined],
])('of links: %s', (line, change) => {
  expect(changeOfIpLine(line)).toBe(change);
});

test.each([
  ['delete rule inet shoal services handle 12', 'rules'],
  ['add rule bridge shoal guard iifname "shv*" jump from_task', 'rules'],
  ['add rule ip shoal x accept', 'foreign rules'],
  ['delete rule ip filter FORWARD handle 3', 'foreign rules'],
  ['add element inet shoal live { 10.64.0.9 }', undefined],
])('of rules: %s', (line, change) => {
  expect(changeOfNftLine(line)).toBe(change);
});
