import type { JoinAnswer } from './api.ts';
import { object, text, values, type Schema } from './schema.ts';
import { name } from './template-schema.ts';

const pem = text(64 * 1024);

/** What a manager answers to a join or a renewal. */
export const joinAnswer: Schema<JoinAnswer> = object({
  nodeId: name,
  role: values('manager', 'worker'),
  clusterId: name,
  certificatePem: pem,
  certificateAuthorityPem: pem,
  'notice?': text(1_024),
  'advice?': text(1_024),
});
