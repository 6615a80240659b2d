package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/berth-engine/berth/test/engine"
)

// A refusal is a request that is wrong, the status that it is answered with, and
// a part of the message, in Docker's words where Docker has some. A body that is
// an object is a request to make a container, without its image.
type refusal struct {
	request string // METHOD PATH [BODY]
	status  int
	text    string
}

// TestBadInput: what is wrong is refused, with the status and the words that
// Docker's clients know, and nothing is changed or left by it.
func TestBadInput(t *testing.T) {
	d := started(t)
	must(t, d, "berth", "pull", "-q", "busybox")
	must(t, d, "berth", "run", "-d", "--name", "runs", "-v", "used:/v", "busybox", "sleep", "100000")
	must(t, d, "berth", "create", "--name", "made", "busybox", "true")
	must(t, d, "berth", "exec", "runs", "true")
	before := idle(t, d)
	for _, table := range [][]refusal{badConfigs, badHosts, badResources, badMounts, badNetworks, badQueries, badVolumes, badExecs} {
		for _, r := range table {
			r.try(t, d)
		}
	}
	noLeak(t, d, before)
	must(t, d, "berth", "rm", "-fv", "runs", "made")
	must(t, d, "berth", "volume", "rm", "used")
}

func (r *refusal) try(t *testing.T, d *engine.Daemon) {
	t.Helper()
	method, rest, _ := strings.Cut(r.request, " ")
	path, body, _ := strings.Cut(rest, " ")
	if method == "create" {
		method, path, body = "POST", "/containers/create", rest
		if fields, ok := strings.CutPrefix(body, "{"); ok && !strings.Contains(body, `"Image"`) {
			body = `{"Image": "busybox", ` + fields
		}
	}
	status, text, err := sayRaw(t.Context(), d, method, path, body)
	if err != nil {
		t.Errorf("%s: %v", r.request, err)
		return
	}
	if status != r.status || !strings.Contains(text, r.text) {
		t.Errorf("%s\n\t is %d %s\n\tnot %d %s", r.request, status, strings.TrimSpace(text), r.status, r.text)
	}
}

// sayRaw sends a request as it is.
func sayRaw(ctx context.Context, d *engine.Daemon, method, path, body string) (status int, text string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://berth/v1.48"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := d.Client().Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, "", fmt.Errorf("%d: %w", resp.StatusCode, err)
	}
	var answer struct{ Message string }
	if err := json.Unmarshal(b, &answer); err == nil && answer.Message != "" {
		return resp.StatusCode, answer.Message, nil
	}
	return resp.StatusCode, string(b), nil
}

var badConfigs = []refusal{
	{`create`, 400, "config cannot be empty in order to create a container"},
	{`create {`, 400, "invalid JSON"},
	{`create []`, 400, ""},
	{`create {"Image": 7}`, 400, ""},
	{`create {"Image": ""}`, 400, "no image specified"},
	{`create {"Image": "UPPER"}`, 400, "invalid reference format: repository name (library/UPPER) must be lowercase"},
	{`create {"Image": "nobody/has:this"}`, 404, "No such image: nobody/has:this"},
	{`create {"Cmd": 7}`, 400, ""},
	{`create {"Cmd": {"a": "b"}}`, 400, ""},
	{`create {"Env": ["=x"]}`, 400, "invalid environment variable: =x"},
	{`create {"Env": [""]}`, 400, "invalid environment variable: "},
	{`create {"Env": ["A=\u0000"]}`, 400, "NUL"},
	{`create {"WorkingDir": "relative"}`, 400, "the working directory 'relative' is invalid, it needs to be an absolute path"},
	{`create {"StopSignal": "SIGNOPE"}`, 400, "invalid signal: SIGNOPE"},
	{`create {"StopTimeout": "soon"}`, 400, ""},
	{`create {"StopTimeout": -2}`, 400, "stop timeout"},
	{`create {"Hostname": "a b"}`, 400, "invalid hostname format: a b"},
	{`create {"Domainname": "-"}`, 400, "invalid domainname format: -"},
	{`create {"ExposedPorts": {"x/tcp": {}}}`, 400, ""},
	{`create {"ExposedPorts": {"70000/tcp": {}}}`, 400, ""},
	{`create {"ExposedPorts": {"80/icmp": {}}}`, 400, "invalid proto: icmp"},
	{`create {"Volumes": {"relative": {}}}`, 400, "mount path must be absolute"},
	{`create {"Volumes": {"/": {}}}`, 400, "destination can't be '/'"},
	{`create {"Healthcheck": {"Test": ["CMD"], "Interval": 1}}`, 400, "Interval in Healthcheck cannot be less than 1ms"},
	{`create {"Healthcheck": {"Test": ["CMD"], "Timeout": 1}}`, 400, "Timeout in Healthcheck cannot be less than 1ms"},
	{`create {"Healthcheck": {"Test": ["CMD"], "Retries": -1}}`, 400, "Retries in Healthcheck cannot be negative"},
	{`create {"Healthcheck": {"Test": ["CMD"], "StartPeriod": 1}}`, 400, "StartPeriod in Healthcheck cannot be less than 1ms"},
	{`create {"Healthcheck": {"Test": ["CMD"], "StartInterval": 1}}`, 400, "StartInterval in Healthcheck cannot be less than 1ms"},
	{`create {"Healthcheck": {"Test": ["NEVER"]}}`, 400, "unknown probe type 'NEVER'"},
	{`create {"ArgsEscaped": true}`, 400, "only for Windows"},
	{`create {"Labels": ["a"]}`, 400, ""},
	{`create {"Tty": "yes"}`, 400, ""},
	{`POST /containers/create?name=a {"Image": "busybox"}`, 400, "Invalid container name (a), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
	{`POST /containers/create?name=-a {"Image": "busybox"}`, 400, "Invalid container name (-a)"},
	{`POST /containers/create?name=a/b {"Image": "busybox"}`, 400, "Invalid container name (a/b)"},
	{`POST /containers/create?name=made {"Image": "busybox"}`, 409, `Conflict. The container name "/made" is already in use by container `},
	{`POST /containers/create?platform=a/b/c/d {"Image": "busybox"}`, 400, "platform"},
	{`POST /containers/create?platform=linux/s390x {"Image": "busybox"}`, 404, ""},
}

var badHosts = []refusal{
	{`create {"HostConfig": {"RestartPolicy": {"Name": "sometimes"}}}`, 400, "invalid restart policy: unknown policy 'sometimes'"},
	{`create {"HostConfig": {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 1}}}`, 400, "maximum retry count can only be used with 'on-failure'"},
	{`create {"HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": -1}}}`, 400, "maximum retry count cannot be negative"},
	{`create {"HostConfig": {"AutoRemove": true, "RestartPolicy": {"Name": "always"}}}`, 400, "can't create 'AutoRemove' container with restart policy"},
	{`create {"HostConfig": {"LogConfig": {"Type": "splunk"}}}`, 400, "splunk"},
	{`create {"HostConfig": {"LogConfig": {"Type": "json-file", "Config": {"nope": "1"}}}}`, 400, "unknown log opt 'nope' for json-file log driver"},
	{`create {"HostConfig": {"LogConfig": {"Config": {"max-size": "big"}}}}`, 400, "max-size"},
	{`create {"HostConfig": {"IpcMode": "nope"}}`, 400, "invalid IPC mode: nope"},
	{`create {"HostConfig": {"IpcMode": "container:"}}`, 400, "invalid IPC mode"},
	{`create {"HostConfig": {"PidMode": "nope"}}`, 400, "invalid PID mode: nope"},
	{`create {"HostConfig": {"UTSMode": "nope"}}`, 400, "invalid UTS mode: nope"},
	{`create {"HostConfig": {"UsernsMode": "nope"}}`, 400, "invalid user namespace mode: nope"},
	{`create {"HostConfig": {"CgroupnsMode": "nope"}}`, 400, "invalid cgroup namespace mode: nope"},
	{`create {"HostConfig": {"Isolation": "hyperv"}}`, 400, "invalid isolation 'hyperv' on linux"},
	{`create {"HostConfig": {"CapAdd": ["FLY"]}}`, 400, `unknown capability: "FLY"`},
	{`create {"HostConfig": {"CapDrop": ["CAP_FLY"]}}`, 400, `unknown capability: "CAP_FLY"`},
	{`create {"HostConfig": {"SecurityOpt": ["nope"]}}`, 400, `invalid --security-opt`},
	{`create {"HostConfig": {"SecurityOpt": ["nope=x"]}}`, 400, `invalid --security-opt 2: "nope=x"`},
	{`create {"HostConfig": {"SecurityOpt": ["no-new-privileges=perhaps"]}}`, 400, `no-new-privileges`},
	{`create {"HostConfig": {"SecurityOpt": ["seccomp={"]}}`, 400, "seccomp profile"},
	{`create {"HostConfig": {"ExtraHosts": ["nope"]}}`, 400, `bad format for add-host: "nope"`},
	{`create {"HostConfig": {"ExtraHosts": ["a:b"]}}`, 400, `invalid IP address in add-host: "b"`},
	{`create {"HostConfig": {"Dns": ["nope"]}}`, 400, ""},
	{`create {"HostConfig": {"DnsSearch": ["a b"]}}`, 400, "is not a valid domain"},
	{`create {"HostConfig": {"Annotations": {"": "x"}}}`, 400, "invalid Annotations: the empty string is not permitted as an annotation key"},
	{`create {"HostConfig": {"Sysctls": {"kernel.domainname\n": "x"}}}`, 400, "sysctl"},
	{`create {"HostConfig": {"Runtime": "nope"}}`, 400, "unknown or invalid runtime name: nope"},
	{`create {"HostConfig": {"StorageOpt": {"size": "big"}}}`, 400, "invalid size: 'big'"},
	{`create {"HostConfig": {"StorageOpt": {"nope": "1"}}}`, 400, "Unknown option nope"},
	{`create {"HostConfig": {"Devices": [{"PathOnHost": "/dev/nope", "PathInContainer": "/dev/nope", "CgroupPermissions": "rwx"}]}}`, 400, "invalid device mode: rwx"},
	{`create {"HostConfig": {"DeviceCgroupRules": ["nope"]}}`, 400, "invalid device cgroup rule format: 'nope'"},
	{`create {"HostConfig": {"DeviceRequests": [{"Driver": "nope"}]}}`, 400, `could not select device driver "nope"`},
	{`create {"HostConfig": {"VolumesFrom": ["nobody"]}}`, 400, "No such container: nobody"},
	{`create {"HostConfig": {"VolumesFrom": ["made:nope"]}}`, 400, "invalid mode: nope"},
	{`create {"HostConfig": {"VolumesFrom": [":ro"]}}`, 400, "invalid volumes-from specification"},
	{`create {"HostConfig": {"Cgroup": "x"}}`, 501, "Cgroup"},
	{`create {"HostConfig": {"Privileged": "yes"}}`, 400, ""},
}

var badResources = []refusal{
	{`create {"HostConfig": {"Memory": -1}}`, 400, "Minimum memory limit allowed is 6MB"},
	{`create {"HostConfig": {"Memory": 1000}}`, 400, "Minimum memory limit allowed is 6MB"},
	{`create {"HostConfig": {"Memory": "1g"}}`, 400, ""},
	{`create {"HostConfig": {"Memory": 1e30}}`, 400, ""},
	{`create {"HostConfig": {"Memory": 10000000, "MemorySwap": 9000000}}`, 400, "Minimum memoryswap limit should be larger than memory limit"},
	{`create {"HostConfig": {"MemorySwap": 10000000}}`, 400, "You should always set the Memory limit when using Memoryswap limit"},
	{`create {"HostConfig": {"Memory": 10000000, "MemorySwap": -2}}`, 400, "memory swap"},
	{`create {"HostConfig": {"MemoryReservation": 1000}}`, 400, "Minimum memory reservation allowed is 6MB"},
	{`create {"HostConfig": {"Memory": 10000000, "MemoryReservation": 20000000}}`, 400, "Minimum memory limit can not be less than memory reservation limit"},
	{`create {"HostConfig": {"MemorySwappiness": 101}}`, 400, "valid memory swappiness range is 0-100"},
	{`create {"HostConfig": {"MemorySwappiness": -2}}`, 400, "valid memory swappiness range is 0-100"},
	{`create {"HostConfig": {"NanoCpus": -1}}`, 400, "range of CPUs is from 0.01 to"},
	{`create {"HostConfig": {"NanoCpus": 99000000000000}}`, 400, "range of CPUs is from 0.01 to"},
	{`create {"HostConfig": {"NanoCpus": 1000000000, "CpuQuota": 1000}}`, 400, "Nano CPUs and CPU Quota cannot both be set"},
	{`create {"HostConfig": {"NanoCpus": 1000000000, "CpuPeriod": 1000}}`, 400, "Nano CPUs and CPU Period cannot both be set"},
	{`create {"HostConfig": {"CpuShares": -1}}`, 400, "invalid CPU shares (-1): value must be a positive integer"},
	{`create {"HostConfig": {"CpuPeriod": 1}}`, 400, "CPU cfs period can not be less than 1ms"},
	{`create {"HostConfig": {"CpuPeriod": 2000000}}`, 400, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s"},
	{`create {"HostConfig": {"CpuQuota": 1}}`, 400, "CPU cfs quota can not be less than 1ms"},
	{`create {"HostConfig": {"CpuRealtimePeriod": 1000, "CpuRealtimeRuntime": 2000}}`, 400, "cpu real-time runtime cannot be higher than cpu real-time period"},
	{`create {"HostConfig": {"CpusetCpus": "nope"}}`, 400, "Invalid value nope for cpuset cpus"},
	{`create {"HostConfig": {"CpusetCpus": "4-1"}}`, 400, "Invalid value 4-1 for cpuset cpus"},
	{`create {"HostConfig": {"CpusetCpus": "4000"}}`, 400, "Requested CPUs are not available - requested 4000"},
	{`create {"HostConfig": {"CpusetMems": "nope"}}`, 400, "Invalid value nope for cpuset mems"},
	{`create {"HostConfig": {"CpusetMems": "4000"}}`, 400, "Requested memory nodes are not available - requested 4000"},
	{`create {"HostConfig": {"CpuCount": 1}}`, 400, "Windows"},
	{`create {"HostConfig": {"CpuPercent": 1}}`, 400, "Windows"},
	{`create {"HostConfig": {"IOMaximumIOps": 1}}`, 400, "Windows"},
	{`create {"HostConfig": {"IOMaximumBandwidth": 1}}`, 400, "Windows"},
	{`create {"HostConfig": {"BlkioWeight": 9}}`, 400, "Range of blkio weight is from 10 to 1000"},
	{`create {"HostConfig": {"BlkioWeight": 1001}}`, 400, "Range of blkio weight is from 10 to 1000"},
	{`create {"HostConfig": {"BlkioWeight": 70000}}`, 400, ""},
	{`create {"HostConfig": {"BlkioWeightDevice": [null]}}`, 400, ""},
	{`create {"HostConfig": {"BlkioDeviceReadBps": [{"Path": "", "Rate": 1}]}}`, 400, ""},
	{`create {"HostConfig": {"BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": -1}]}}`, 400, ""},
	{`create {"HostConfig": {"OomScoreAdj": 1001}}`, 400, "Invalid value 1001, range for oom score adj is [-1000, 1000]"},
	{`create {"HostConfig": {"ShmSize": -1}}`, 400, "SHM size can not be less than 0"},
	{`create {"HostConfig": {"Ulimits": [{"Name": "nope", "Soft": 1, "Hard": 1}]}}`, 400, "invalid ulimit name nope"},
	{`create {"HostConfig": {"Ulimits": [{"Name": "nofile", "Soft": 2, "Hard": 1}]}}`, 400, "ulimit soft limit must be less than or equal to hard limit: 2 > 1"},
	{`create {"HostConfig": {"CgroupParent": "../x"}}`, 400, "cgroup"},
	{`create {"HostConfig": {"Umask": 4096}}`, 400, "umask"},
}

var badMounts = []refusal{
	{`create {"HostConfig": {"Binds": ["nope"]}}`, 400, "invalid volume specification: 'nope'"},
	{`create {"HostConfig": {"Binds": ["/a:b"]}}`, 400, "mount path must be absolute"},
	{`create {"HostConfig": {"Binds": ["/a:/"]}}`, 400, "destination can't be '/'"},
	{`create {"HostConfig": {"Binds": ["/a:/b:nope"]}}`, 400, "invalid mode: nope"},
	{`create {"HostConfig": {"Binds": ["a:/b"]}}`, 400, "volume name is too short"},
	{`create {"HostConfig": {"Binds": ["../a:/b"]}}`, 400, "includes invalid characters for a local volume name"},
	{`create {"HostConfig": {"Binds": ["/a:/b", "/c:/b"]}}`, 400, "Duplicate mount point: /b"},
	{`create {"HostConfig": {"Binds": ["/a:/b:ro:rw:x"]}}`, 400, "invalid volume specification"},
	{`create {"HostConfig": {"Mounts": [{"Type": "nope", "Target": "/b"}]}}`, 400, "mount type unknown"},
	{`create {"HostConfig": {"Mounts": [{"Type": "bind", "Target": "/b"}]}}`, 400, "invalid mount config for type \"bind\": field Source must not be empty"},
	{`create {"HostConfig": {"Mounts": [{"Type": "bind", "Source": "/nowhere/at/all", "Target": "/b"}]}}`, 400, "bind source path does not exist: /nowhere/at/all"},
	{`create {"HostConfig": {"Mounts": [{"Type": "bind", "Source": "a", "Target": "/b"}]}}`, 400, "mount path must be absolute"},
	{`create {"HostConfig": {"Mounts": [{"Type": "bind", "Source": "/tmp"}]}}`, 400, "field Target must not be empty"},
	{`create {"HostConfig": {"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/b", "VolumeOptions": {}}]}}`, 400, `VolumeOptions must not be specified on mount type "bind"`},
	{`create {"HostConfig": {"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/b", "BindOptions": {"Propagation": "nope"}}]}}`, 400, "invalid propagation mode: nope"},
	{`create {"HostConfig": {"Mounts": [{"Type": "volume", "Source": "a/b", "Target": "/b"}]}}`, 400, "invalid characters"},
	{`create {"HostConfig": {"Mounts": [{"Type": "volume", "Target": "/b", "BindOptions": {}}]}}`, 400, `BindOptions must not be specified on mount type "volume"`},
	{`create {"HostConfig": {"Mounts": [{"Type": "volume", "Source": "used", "Target": "/b", "VolumeOptions": {"Subpath": "../x"}}]}}`, 400, "subpath"},
	{`create {"HostConfig": {"Mounts": [{"Type": "tmpfs", "Source": "x", "Target": "/b"}]}}`, 400, "field Source must not be specified"},
	{`create {"HostConfig": {"Mounts": [{"Type": "tmpfs", "Target": "/b", "TmpfsOptions": {"SizeBytes": -1}}]}}`, 400, "size"},
	{`create {"HostConfig": {"Mounts": [{"Type": "image", "Target": "/b"}]}}`, 400, "field Source must not be empty"},
	{`create {"HostConfig": {"Mounts": [{"Type": "tmpfs", "Target": "/b"}, {"Type": "tmpfs", "Target": "/b"}]}}`, 400, "Duplicate mount point: /b"},
	{`create {"HostConfig": {"Mounts": [{"Type": "cluster", "Source": "x", "Target": "/b"}]}}`, 400, "cluster"},
	{`create {"HostConfig": {"Tmpfs": {"relative": ""}}}`, 400, "mount path must be absolute"},
	{`create {"HostConfig": {"Tmpfs": {"/": ""}}}`, 400, "destination can't be '/'"},
	{`create {"HostConfig": {"Tmpfs": {"/x": "nope"}}}`, 400, "nope"},
	{`create {"HostConfig": {"Tmpfs": {"/x": "size="}}}`, 400, "size"},
	{`create {"HostConfig": {"Tmpfs": {"/x": ""}, "Binds": ["/tmp:/x"]}}`, 400, "Duplicate mount point: /x"},
}

var badNetworks = []refusal{
	{`create {"HostConfig": {"NetworkMode": "container:"}}`, 400, "invalid container format container:<name|id>"},
	{`create {"Hostname": "h", "HostConfig": {"NetworkMode": "container:runs"}}`, 400, "conflicting options: hostname and the network mode"},
	{`create {"HostConfig": {"NetworkMode": "container:runs", "Dns": ["1.2.3.4"]}}`, 400, "conflicting options: dns and the network mode"},
	{`create {"HostConfig": {"NetworkMode": "container:runs", "ExtraHosts": ["a:1.2.3.4"]}}`, 400, "conflicting options: custom host-to-IP mapping and the network mode"},
	{`create {"HostConfig": {"NetworkMode": "container:runs", "PublishAllPorts": true}}`, 400, "conflicting options: port publishing and the container type network mode"},
	{`create {"ExposedPorts": {"80/tcp": {}}, "HostConfig": {"NetworkMode": "container:runs"}}`, 400, "conflicting options: port exposing and the container type network mode"},
	{`create {"HostConfig": {"NetworkMode": "container:runs", "Links": ["made:x"]}}`, 400, "container type network can't be used with links"},
	{`create {"HostConfig": {"NetworkMode": "host", "Links": ["made:x"]}}`, 400, "host type networking can't be used with links"},
	{`create {"Hostname": "h", "HostConfig": {"UTSMode": "host"}}`, 400, "conflicting options: hostname and the UTS mode"},
	{`create {"HostConfig": {"NetworkMode": "host", "Sysctls": {"net.ipv4.ip_forward": "1"}}}`, 400, "not allowed in host network namespace"},
	{`create {"HostConfig": {"Links": ["nobody:x"]}}`, 400, "could not get container for nobody"},
	{`create {"HostConfig": {"Links": [""]}}`, 400, "empty string specified for links"},
	{`create {"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "nope"}]}}}`, 400, "nope"},
	{`create {"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "70000"}]}}}`, 400, "70000"},
	{`create {"HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "nope"}]}}}`, 400, "nope"},
	{`create {"HostConfig": {"PortBindings": {"nope": [{}]}}}`, 400, "nope"},
	{`create {"NetworkingConfig": {"EndpointsConfig": {"bridge": {"IPAMConfig": {"IPv4Address": "nope"}}}}}`, 400, "nope"},
	{`create {"NetworkingConfig": {"EndpointsConfig": {"bridge": {"IPAMConfig": {"IPv4Address": "172.17.0.77"}}}}}`, 400, "user specified IP address is supported on user defined networks only"},
	{`create {"NetworkingConfig": {"EndpointsConfig": {"bridge": {"Aliases": ["x"]}}}}`, 400, "network-scoped alias is supported only for containers in user defined networks"},
	{`create {"NetworkingConfig": {"EndpointsConfig": {"bridge": {"MacAddress": "nope"}}}}`, 400, "nope"},
	{`create {"HostConfig": {"NetworkMode": "host"}, "NetworkingConfig": {"EndpointsConfig": {"host": {"MacAddress": "02:42:00:00:00:77"}}}}`, 400, "conflicting options: mac-address and the network mode"},
	{`create {"HostConfig": {"NetworkMode": "none"}, "NetworkingConfig": {"EndpointsConfig": {"none": {"DriverOpts": {"a": "b"}}}}}`, 400, "conflicting options: driver options and the network mode"},
	{`create {"HostConfig": {"NetworkMode": "container:x"}, "NetworkingConfig": {"EndpointsConfig": {"container:x": {"MacAddress": "02:42:00:00:00:77"}}}}`, 400, "conflicting options: mac-address and the network mode"},
	{`create {"HostConfig": {"NetworkMode": "container:x"}, "NetworkingConfig": {"EndpointsConfig": {"bridge": {}}}}`, 400, "cannot attach both user-defined and non-user-defined network-modes"},
	{`create {"NetworkingConfig": 7}`, 400, ""},
}

var badQueries = []refusal{
	{`GET /containers/json?limit=x`, 400, "x"},
	{`GET /containers/json?filters=x`, 400, "invalid"},
	{`GET /containers/json?filters={"nope":["1"]}`, 400, "invalid filter 'nope'"},
	{`GET /containers/json?filters={"status":["nope"]}`, 400, "invalid filter 'status=nope'"},
	{`GET /containers/json?filters={"exited":["nope"]}`, 400, "invalid filter 'exited=nope'"},
	{`GET /containers/json?filters={"health":["nope"]}`, 400, "health"},
	{`GET /containers/json?filters={"is-task":["nope"]}`, 400, "is-task"},
	{`GET /containers/json?filters={"before":["nobody"]}`, 404, "No such container: nobody"},
	{`GET /containers/json?filters={"publish":["nope"]}`, 400, "nope"},
	{`GET /containers/nobody/json`, 404, "No such container: nobody"},
	{`GET /containers/nobody/top`, 404, "No such container: nobody"},
	{`GET /containers/made/top`, 409, "is not running"},
	{`GET /containers/runs/top?ps_args=x;y`, 400, ""},
	{`GET /containers/runs/logs`, 400, "Bad parameters: you must choose at least one stream"},
	{`GET /containers/runs/logs?stdout=1&since=nope`, 400, "since"},
	{`GET /containers/runs/logs?stdout=1&until=nope`, 400, "until"},
	{`GET /containers/nobody/logs?stdout=1`, 404, "No such container: nobody"},
	{`GET /containers/nobody/changes`, 404, "No such container: nobody"},
	{`GET /containers/nobody/export`, 404, "No such container: nobody"},
	{`GET /containers/nobody/stats`, 404, "No such container: nobody"},
	{`GET /containers/runs/stats?stream=1&one-shot=1`, 400, "one-shot"},
	{`POST /containers/runs/resize?h=x&w=1`, 400, "h"},
	{`POST /containers/runs/resize?h=1`, 400, "w"},
	{`POST /containers/made/resize?h=1&w=1`, 409, "is not running"},
	{`POST /containers/nobody/start`, 404, "No such container: nobody"},
	{`POST /containers/runs/stop?t=x`, 400, "x"},
	{`POST /containers/runs/stop?signal=nope`, 400, "nope"},
	{`POST /containers/runs/restart?t=x`, 400, "x"},
	{`POST /containers/runs/restart?signal=nope`, 400, "nope"},
	{`POST /containers/runs/kill?signal=nope`, 400, "nope"},
	{`POST /containers/runs/kill?signal=999`, 400, "999"},
	{`POST /containers/made/kill`, 409, "is not running"},
	{`POST /containers/runs/update nope`, 400, ""},
	{`POST /containers/runs/update {"Memory": 1000}`, 400, "Minimum memory limit allowed is 6MB"},
	{`POST /containers/runs/update {"RestartPolicy": {"Name": "sometimes"}}`, 400, "unknown policy 'sometimes'"},
	{`POST /containers/runs/rename`, 400, "Neither old nor new names may be empty"},
	{`POST /containers/runs/rename?name=runs`, 400, "Renaming a container with the same name as its current name"},
	{`POST /containers/runs/rename?name=made`, 409, "already in use"},
	{`POST /containers/runs/rename?name=a/b`, 400, "Invalid container name (a/b)"},
	{`POST /containers/made/pause`, 409, "is not running"},
	{`POST /containers/runs/unpause`, 500, "is not paused"}, // as Docker,
	{`POST /containers/runs/attach?detachKeys=nope&stream=1`, 400, "detach"},
	{`POST /containers/made/attach?stream=1&stdout=1&detachKeys=ctrl-nope`, 400, "detach"},
	{`POST /containers/runs/wait?condition=nope`, 400, "nope"},
	{`DELETE /containers/nobody`, 404, "No such container: nobody"},
	{`DELETE /containers/runs`, 409, "container is running: stop the container before removing or force remove"},
	{`DELETE /containers/runs?link=1`, 409, "cannot remove the default link name of the container"},
	{`HEAD /containers/runs/archive`, 400, ""},
	{`GET /containers/runs/archive`, 400, "path"},
	{`GET /containers/runs/archive?path=/nope`, 404, "Could not find the file /nope in container runs"},
	{`PUT /containers/runs/archive`, 400, "path"},
	{`PUT /containers/runs/archive?path=/nope`, 404, "Could not find the file /nope in container runs"},
	{`PUT /containers/runs/archive?path=/etc/passwd`, 400, "not a directory"},
	{`POST /containers/prune?filters=x`, 400, "invalid"},
	{`POST /containers/prune?filters={"nope":["1"]}`, 400, "invalid filter 'nope'"},
	{`POST /containers/prune?filters={"until":["nope"]}`, 400, "nope"},
	{`POST /commit?container=nobody`, 404, "No such container: nobody"},
	{`POST /commit?container=runs&repo=UPPER`, 400, "must be lowercase"},
	{`POST /commit?container=runs&changes=NOPE`, 400, "NOPE"},
	{`GET /events?since=nope`, 400, "nope"},
	{`GET /events?until=nope`, 400, "nope"},
	{`GET /events?filters=x`, 400, "invalid"},
	{`GET /system/df?type=nope`, 400, "unknown object type: nope"},
	{`GET /containers/json/nope`, 404, "page not found"},
	{`PATCH /containers/json`, 404, ""},
}

var badVolumes = []refusal{
	{`POST /volumes/create nope`, 400, ""},
	{`POST /volumes/create {"Name": "x"}`, 400, "volume name is too short, names should be at least two alphanumeric characters"},
	{`POST /volumes/create {"Name": "a/b"}`, 400, `includes invalid characters for a local volume name`},
	{`POST /volumes/create {"Name": 7}`, 400, ""},
	{`POST /volumes/create {"Name": "bad", "Driver": "nobody"}`, 404, `error looking up volume plugin nobody: plugin "nobody" not found`},
	{`POST /volumes/create {"Name": "bad", "DriverOpts": {"nope": "1"}}`, 400, `invalid option: "nope"`},
	{`POST /volumes/create {"Name": "bad", "DriverOpts": {"o": "size=1"}}`, 400, `missing required option: `},
	{`POST /volumes/create {"Name": "bad", "DriverOpts": {"device": "tmpfs"}}`, 400, `missing required option: "type"`},
	{`POST /volumes/create {"Name": "bad", "DriverOpts": {"size": "big"}}`, 400, "invalid size: 'big'"},
	{`POST /volumes/create {"Name": "used", "Driver": "nobody"}`, 409, "volume name must be unique"},
	{`POST /volumes/create {"Name": "bad", "Labels": 7}`, 400, ""},
	{`POST /volumes/create {"Name": "bad", "ClusterVolumeSpec": {}}`, 503, "This node is not a swarm manager"},
	{`GET /volumes/nobody`, 404, "get nobody: no such volume"},
	{`DELETE /volumes/nobody`, 404, "get nobody: no such volume"},
	{`DELETE /volumes/used`, 409, "remove used: volume is in use - ["},
	{`DELETE /volumes/used?force=1`, 409, "remove used: volume is in use - ["},
	{`GET /volumes?filters=x`, 400, "invalid"},
	{`GET /volumes?filters={"nope":["1"]}`, 400, "invalid filter 'nope'"},
	{`GET /volumes?filters={"dangling":["perhaps"]}`, 400, "invalid filter 'dangling"},
	{`POST /volumes/prune?filters={"nope":["1"]}`, 400, "invalid filter 'nope'"},
	{`POST /volumes/prune?filters={"all":["perhaps"]}`, 400, "invalid filter 'all"},
	{`POST /volumes/prune?filters=x`, 400, "invalid"},
	{`PUT /volumes/used {}`, 503, "volume update only valid for cluster volumes"},
	{`POST /volumes/used/rename?name=a/b`, 400, "invalid characters"},
	{`POST /volumes/used/rename?name=used`, 400, "same name"},
	{`POST /volumes/nobody/rename?name=other`, 404, "no such volume"},
	{`POST /volumes/used/copy {"Name": "used"}`, 409, "A volume named used already exists"},
	{`POST /volumes/used/copy {"Name": ""}`, 400, "invalid characters"},
	{`POST /volumes/nobody/copy {"Name": "other"}`, 404, "no such volume"},
	{`POST /volumes/used/restore?snapshot=none`, 404, "has no snapshot none"},
	{`POST /volumes/used/restore?snapshot=../x`, 400, "invalid characters"},
	{`POST /volumes/used/restore`, 400, ""},
	{`GET /volumes/nobody/archive`, 404, "no such volume"},
	{`PUT /volumes/used/archive`, 409, "A volume named used already exists"},
	{`PUT /volumes/-/archive`, 400, "volume name is too short"},
	{`PUT /volumes/fresh/archive this-is-no-archive`, 400, ""},
	{`GET /volumes/nobody/snapshots`, 404, "no such volume"},
	{`POST /volumes/nobody/snapshots`, 404, "no such volume"},
	{`POST /volumes/used/snapshots?snapshot=a/b`, 400, "invalid characters"},
	{`DELETE /volumes/used/snapshots?snapshot=none`, 404, "has no snapshot none"},
}

var badExecs = []refusal{
	{`POST /containers/runs/exec nope`, 400, ""},
	{`POST /containers/runs/exec {}`, 400, "No exec command specified"},
	{`POST /containers/runs/exec {"Cmd": []}`, 400, "No exec command specified"},
	{`POST /containers/runs/exec {"Cmd": ["true"], "DetachKeys": "nope"}`, 400, "etach"},
	{`POST /containers/nobody/exec {"Cmd": ["true"]}`, 404, "No such container: nobody"},
	{`POST /containers/made/exec {"Cmd": ["true"]}`, 409, "is not running"},
	{`GET /exec/nobody/json`, 404, "No such exec instance: nobody"},
	{`POST /exec/nobody/start {}`, 404, "No such exec instance: nobody"},
	{`POST /exec/nobody/resize?h=1&w=1`, 404, "No such exec instance: nobody"},
	{`POST /exec/nobody/resize?h=x&w=1`, 400, ""},
}
