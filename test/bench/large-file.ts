/** A Compose file of so many services, each with what a service of a real application says. */
export function largeFile(services: number): string {
  const texts = Array.from({ length: services }, (_, index) => serviceText(index, services));
  return `name: large\nservices:\n${texts.join('')}networks: { front: , back: }\nvolumes: { data: }\n`;
}

function serviceText(index: number, count: number): string {
  const dependency = index === 0 ? '' : `\n    depends_on: [s${index - 1}]`;
  return `  s${index}:
    image: registry.example.org/team/service-${index}:1.${index}
    command: ["serve", "--port", "8080"]
    environment:
      NAME: service-${index}
      LEVEL: \${LEVEL:-info}
      PEER: s${(index + 1) % count}
    labels: { tier: "${index % 3}", owner: team-${index % 7} }
    networks: [front, back]
    volumes:
      - data:/data
      - type: tmpfs
        target: /tmp
    expose: ["8080"]
    healthcheck:
      test: ["CMD", "curl", "-f", "http://127.0.0.1:8080/health"]
      interval: 10s
      timeout: 5s
      retries: 3
    restart: always
    deploy:
      replicas: 3
      resources:
        limits: { cpus: "0.50", memory: 128M }
        reservations: { memory: 32M }
      update_config: { parallelism: 1, order: start-first, delay: 1s }
    stop_grace_period: 15s${dependency}\n`;
}
