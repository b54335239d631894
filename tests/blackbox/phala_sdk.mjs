// SPDX-License-Identifier: Apache-2.0
// phala_sdk.mjs - one CVM's life by the cloud's own SDK, which holds every answer against its schema.
//
//   node phala_sdk.mjs SDK BASE_URL API_KEY VERSION NAME IMAGE
//
// Prints one JSON line a call: what was called, whether it went well, and what came back or what the SDK had against it.
import { pathToFileURL } from "node:url";

const [sdkPath, baseURL, apiKey, version, name, image] = process.argv.slice(2);
const sdk = await import(pathToFileURL(sdkPath).href);
const client = sdk.createClient({ baseURL, apiKey, version });

async function call(what, run) {
	let line;
	let value;

	try {
		value = await run();
		line = { call: what, ok: true, value };
	} catch (e) {
		line = { call: what, ok: false, error: e.name, status: e.status, code: e.errorCode, message: e.message };
	}
	console.log(JSON.stringify(line));
	return value;
}

async function until(id, status) {
	for (const end = Date.now() + 60000; Date.now() < end; await new Promise((r) => setTimeout(r, 200))) {
		const state = await client.getCvmState({ id });
		const batch = await sdk.getCvmStatusBatch(client, { vmUuids: [id] });

		if (state.status === status && !batch[id].in_progress) return state;
	}
	throw new Error(`${id} does not become ${status}`);
}

async function readings(when, cvm) {
	const app = `app_${cvm.app_id}`;

	for (const [form, id] of [["uuid", cvm.vm_uuid], ["name", cvm.name], ["app", app]])
		await call(`getCvmInfo by ${form}, ${when}`, () => client.getCvmInfo({ id }));
	await call(`getCvmState, ${when}`, () => client.getCvmState({ id: cvm.vm_uuid }));
	await call(`getCvmStatusBatch, ${when}`, () => sdk.getCvmStatusBatch(client, { vmUuids: [cvm.vm_uuid] }));
	await call(`getCvmList, ${when}`, () => client.getCvmList({ page: 1, page_size: 10 }));
	await call(`getAppList, ${when}`, () => sdk.getAppList(client, { page: 1, page_size: 10, search: cvm.name }));
	await call(`getAppInfo, ${when}`, () => sdk.getAppInfo(client, { appId: app }));
	await call(`getAppCvms, ${when}`, () => sdk.getAppCvms(client, { appId: cvm.app_id }));
}

async function inventory() {
	const me = await call("getCurrentUser", () => client.getCurrentUser());
	const slug = me?.workspace?.slug ?? me?.team_name;

	await call("getAvailableNodes", () => client.getAvailableNodes());
	await call("getOsImages", () => client.getOsImages({ page: 1, page_size: 10 }));
	await call("getOsImages, of production", () => client.getOsImages({ page: 1, page_size: 10, is_dev: false }));
	await call("listAllInstanceTypeFamilies", () => client.listAllInstanceTypeFamilies());
	await call("listFamilyInstanceTypes", () => client.listFamilyInstanceTypes({ family: "cpu" }));
	await call("getKmsList", () => client.getKmsList());
	await call("listWorkspaces", () => client.listWorkspaces());
	await call("getWorkspace", () => client.getWorkspace(slug));
	await call("getWorkspaceNodes", () => sdk.getWorkspaceNodes(client, { teamSlug: slug }));
}

function ask(more) {
	return {
		name, image, vcpu: 1, memory: 256, disk_size: 1,
		compose_file: { docker_compose_file: "services:\n  web:\n    image: nginx:1.27\n", public_logs: true },
		...more,
	};
}

async function life() {
	const provision = await call("provisionCvm", () => client.provisionCvm(ask()));
	const cvm = await call("commitCvmProvision",
		() => client.commitCvmProvision({ app_id: provision.app_id, compose_hash: provision.compose_hash }));
	const id = cvm.vm_uuid;

	await readings("being created", cvm);
	await call("watchCvmState", () => sdk.watchCvmState(client, { id, target: "running", timeout: 60, maxRetries: 1 }));
	await until(id, "running");
	await readings("running", cvm);
	await call("restartCvm", () => client.restartCvm({ id, force: true }));
	await readings("restarting", cvm);
	await until(id, "running");
	await call("shutdownCvm", () => client.shutdownCvm({ id }));
	await until(id, "stopped");
	await readings("shut down", cvm);
	await call("startCvm", () => client.startCvm({ id }));
	await until(id, "running");
	await call("stopCvm", () => client.stopCvm({ id }));
	await until(id, "stopped");
	await call("a name in use", () => client.provisionCvm(ask()));
	await call("deleteCvm", () => client.deleteCvm({ id }));
}

// Everything that changes a CVM, one after the other: each is its own operation.
async function changes() {
	const own = `${name}-b`;
	const provision = await client.provisionCvm(ask({ name: own, user_config: "{}" }));
	const cvm = await client.commitCvmProvision({ app_id: provision.app_id, compose_hash: provision.compose_hash });
	const id = cvm.vm_uuid, appId = cvm.app_id;
	const idle = async (all = [id]) => {
		for (;;) {
			const batch = await sdk.getCvmStatusBatch(client, { vmUuids: all });

			if (!all.some((one) => batch[one].in_progress)) return;
			await new Promise((r) => setTimeout(r, 100));
		}
	};
	const change = async (what, run) => {
		const value = await call(what, run);

		await idle();
		return value;
	};
	const env = "00".repeat(90);

	await idle();
	await client.stopCvm({ id });
	await idle();
	await change("updateCvmResources", () => client.updateCvmResources({ id, vcpu: 2, allow_restart: true }));
	await change("updateCvmResources by app", () => client.updateCvmResources({ app_id: appId, vcpu: 1 }));
	await change("updateCvmVisibility", () => client.updateCvmVisibility({ id, public_sysinfo: false, public_logs: false }));
	await change("updateDockerCompose", () => client.updateDockerCompose({ id, docker_compose_file: "services:\n  a:\n    image: b\n" }));
	await change("updatePreLaunchScript", () => client.updatePreLaunchScript({ id, pre_launch_script: "echo sdk" }));
	await call("getCvmPreLaunchScript", () => client.getCvmPreLaunchScript({ id }));
	await call("getCvmDockerCompose", () => client.getCvmDockerCompose({ id }));
	await change("updateCvmEnvs", () => client.updateCvmEnvs({ id, encrypted_env: env, env_keys: ["A"] }));
	await change("patchCvm", () => sdk.patchCvm(client, { id, docker_compose_file: "services:\n  c:\n    image: d\n", disk_size: 2,
		encrypted_env: env, shutdown_timeout: 60, allow_force_stop: true }));
	await change("patchCvm, prepare only", () => sdk.patchCvm(client, { id, public_logs: true, prepareOnly: true }));
	await change("confirmCvmPatch", () => sdk.confirmCvmPatch(client, { id, composeHash: "0x1", transactionHash: "0x2" }));
	const file = await call("getCvmComposeFile", () => client.getCvmComposeFile({ id }));
	const made = await call("provisionCvmComposeFileUpdate",
		() => client.provisionCvmComposeFileUpdate({ id, app_compose: { ...file, public_tcbinfo: false }, update_env_vars: false }));
	await change("commitCvmComposeFileUpdate", () => client.commitCvmComposeFileUpdate({ id, compose_hash: made.compose_hash }));
	const images = await call("getAvailableOsImages", () => sdk.getAvailableOsImages(client, { id }));
	const other = images.flatMap((row) => [row.prod, row.dev]).find((image) => image && !image.is_current);
	await change("updateOsImage", () => sdk.updateOsImage(client, { id, os_image_name: other.name }));
	await call("getCvmUserConfig", () => sdk.getCvmUserConfig(client, { id }));
	await call("getAppRevisions", () => sdk.getAppRevisions(client, { appId, page: 1, page_size: 5 }));
	await call("getAppRevisionDetail", () => sdk.getAppRevisionDetail(client, { appId, revisionId: "1" }));
	await call("getAppRevisionDetail, raw", () => sdk.getAppRevisionDetail(client, { appId, revisionId: "2", rawComposeFile: true }));
	const replica = await call("replicateCvm", () => sdk.replicateCvm(client, { id, node_id: 1 }));
	const instance = await call("createAppInstance", () => sdk.createAppInstance(client, { appId, node_id: 1, encrypted_env: env }));
	await idle([id, replica.vm_uuid, instance.vm_uuid]);
	await call("getAppCvms, three", () => sdk.getAppCvms(client, { appId }));
	await call("resize of a running CVM", () => client.updateCvmResources({ id: replica.vm_uuid, vcpu: 2 }));
	await call("a disk that shrinks", () => client.updateCvmResources({ id, disk_size: 1 }));
	await call("a replica on no node", () => sdk.replicateCvm(client, { id, node_id: 77 }));
	for (const one of [id, replica.vm_uuid, instance.vm_uuid]) await client.deleteCvm({ id: one });
}

async function refusals() {
	await call("a CVM too large", () => client.provisionCvm(ask({ name: `${name}-x`, vcpu: 9999 })));
	await call("a bad field", () => client.provisionCvm(ask({ name: `${name}-x`, instance_type: "no.such" })));
	await call("no such CVM", () => client.getCvmInfo({ id: "no-such-cvm" }));
	await call("no such app", () => sdk.getAppInfo(client, { appId: "0".repeat(40) }));
	await call("a wrong key", () => sdk.createClient({ baseURL, apiKey: "wrong", version }).getCurrentUser());
}

await inventory();
await life();
await changes();
await refusals();
