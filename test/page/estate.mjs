// The real server, with rehearsal hosts as processes of their own, so that one of them can die.

import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const zone = "corp.example.org";

// ports returns n ports on which nobody listens, for TCP and, likely enough, for UDP.
async function ports(n) {
  const servers = [];
  for (let i = 0; i < n; i++) {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    servers.push(server);
  }
  const found = servers.map((s) => s.address().port);
  await Promise.all(servers.map((s) => promisify(s.close.bind(s))()));
  return found;
}

// until calls what until it neither throws nor returns something false, for at most a minute.
async function until(what, wanted) {
  let last;
  for (const end = Date.now() + 60_000; Date.now() < end; ) {
    try {
      const got = await what();
      if (got) return got;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not within a minute: ${wanted}`, { cause: last });
}

export class Estate {
  #children = new Set();
  #hosts = new Map();

  // start builds the server, unless KMS_BINARY names one, and starts it with three hosts, of which the third is not there.
  static async start() {
    const estate = new Estate();
    estate.dir = await mkdtemp(join(tmpdir(), "kms-page-"));
    try {
      await estate.#start();
    } catch (error) {
      await estate.stop();
      throw error;
    }
    return estate;
  }

  async #start() {
    const go = (out, pkg) => run("go", ["build", "-buildvcs=false", "-o", out, pkg], { cwd: root });
    this.binary = process.env.KMS_BINARY ?? join(this.dir, "coredns");
    if (!process.env.KMS_BINARY) await go(this.binary, "./build");
    await go(join(this.dir, "hostile"), "./test/page/hostile");
    const [dns, status, responder, ...hosts] = await ports(6);
    Object.assign(this, { dns, responder, url: `http://127.0.0.1:${status}` });
    this.endpoints = hosts.map((port, i) => `kms${i + 1}.${zone}:${port}`);
    this.corefile = join(this.dir, "Corefile");
    await writeFile(
      this.corefile,
      `${zone}:${dns} {
    bind 127.0.0.1
    kms {
        host ${this.endpoints[0]} priority 10 weight 60 address 127.0.0.1
        host ${this.endpoints[1]} priority 10 weight 40 address 127.0.0.1
        host ${this.endpoints[2]} priority 20 address 127.0.0.1
        responder 127.0.0.1:${responder} {
            advertise kms.${zone}
        }
        probe rpc interval 1s timeout 500ms
        update {
            allow 192.0.2.0/24
        }
        status 127.0.0.1:${status} kms.${zone}
    }
    hosts {
        127.0.0.1 kms.${zone}
        fallthrough
    }
}
`,
    );
    for (const endpoint of this.endpoints.slice(0, 2)) await this.startHost(endpoint);
    await this.startServer();
  }

  #spawn(args) {
    const child = spawn(this.binary, args, { cwd: this.dir, stdio: ["ignore", "pipe", "pipe"] });
    child.said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (child.said = (child.said + text).slice(-1e5)));
    child.ended = once(child, "exit");
    this.#children.add(child);
    return child;
  }

  async #kill(child) {
    child.kill("SIGKILL");
    await child.ended;
    this.#children.delete(child);
  }

  async startHost(endpoint) {
    const child = this.#spawn(["kms", "rehearse", "-listen", `127.0.0.1:${endpoint.split(":")[1]}`]);
    this.#hosts.set(endpoint, child);
    await until(() => child.said.includes("rehearsal KMS host on"), `a host at ${endpoint}: ${child.said}`);
  }

  async killHost(endpoint) {
    await this.#kill(this.#hosts.get(endpoint));
  }

  async startServer() {
    this.server = this.#spawn(["-conf", this.corefile]);
    await until(async () => {
      if (this.server.exitCode !== null) throw new Error(`the server ended: ${this.server.said}`);
      return (await this.report()).pools[0].checked;
    }, "every host asked once");
  }

  async killServer() {
    await this.#kill(this.server);
  }

  async report() {
    const reply = await fetch(`${this.url}/v1/status`);
    if (!reply.ok) throw new Error(`${reply.status}`);
    return reply.json();
  }

  // call has n clients look for a host and call it, twice.
  async call(n) {
    await run(this.binary, ["kms", "rehearse", "-domain", zone, "-server", `127.0.0.1:${this.dns}`, "-clients", `${n}`]);
    await until(async () => (await this.report()).clients.known >= n, `${n} clients in the ledger`);
  }

  // callAsHostile has machines call that chose their names to do harm, and returns those names.
  async callAsHostile() {
    const before = (await this.report()).clients.known;
    const { stdout } = await run(join(this.dir, "hostile"), [`127.0.0.1:${this.responder}`]);
    const names = JSON.parse(stdout);
    await until(async () => (await this.report()).clients.known >= before + names.length, "hostile clients in the ledger");
    return names;
  }

  // announce has somebody try to announce a host, which is refused.
  async announce() {
    const child = spawn("nsupdate", [], { stdio: ["pipe", "pipe", "pipe"] });
    child.stdin.end(
      `server 127.0.0.1 ${this.dns}\nzone ${zone}\nupdate add _vlmcs._tcp.${zone} 3600 SRV 0 0 1688 desktop-7f3.${zone}\nsend\n`,
    );
    await once(child, "exit");
    await until(async () => (await this.report()).updates.refused > 0, "a refused announcement");
  }

  async stop() {
    await Promise.all([...this.#children].map((child) => this.#kill(child)));
    await rm(this.dir, { recursive: true, force: true });
  }
}
