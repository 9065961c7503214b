import type { NetworkSpec } from './network.ts';
import type { FileSpec, VolumeSpec } from './resource.ts';
import type { ServiceSpec } from './service.ts';

/** A whole application as one wish: applied in one transaction, and all of it or nothing. */
export interface ApplicationSpec {
  name: string;
  services: ServiceSpec[];
  networks: NetworkSpec[];
  volumes: VolumeSpec[];
  secrets: FileSpec[];
  configs: FileSpec[];
}
