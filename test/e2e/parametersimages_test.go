package e2e

const (
	s390x = `%7B%22os%22:%22linux%22,%22architecture%22:%22s390x%22%7D`
	// login is for the registry that asks for one.
	login         = "X-Registry-Auth: LOGIN"
	importRequest = "/images/create?fromSrc=-&repo=made"
)

var imageParameters = []parameter{
	{of: "GET /images/json filters", without: "/images/json", with: `/images/json?filters={"reference":["nothing"]}`, want: `!"busybox:latest"`},
	{of: "GET /images/json shared-size", without: "/images/json", with: "/images/json?shared-size=1", want: `!"SharedSize":-1`},
	{of: "GET /images/json manifests", without: "/images/json", with: "/images/json?manifests=1", want: `"Manifests":[`},
	{of: "GET /images/json identity", without: "/images/json?manifests=1", with: "/images/json?manifests=1&identity=1", want: "501"},
	{of: "POST /images/create fromImage", without: "/images/create?fromImage=HUB/library/nobody:1", with: "/images/create?fromImage=busybox:latest", want: "Status: "},
	{of: "POST /images/create tag", without: "/images/create?fromImage=busybox&tag=latest", with: "/images/create?fromImage=busybox&tag=nobody", want: "nobody"},
	{of: "POST /images/create platform", without: "/images/create?fromImage=busybox&tag=latest", with: "/images/create?fromImage=busybox&tag=latest&platform=linux/s390x", want: "s390x"},
	{of: "POST /images/create header X-Registry-Auth", without: "/images/create?fromImage=GUARD/library/x:1", with: "/images/create?fromImage=GUARD/library/x:1", header: login, want: "not found"},
	{of: "POST /images/create fromSrc", without: "/images/create?repo=made tar f=text", with: importRequest + " tar f=text", look: "berth images", want: "made"},
	{of: "POST /images/create repo", without: "/images/create?fromSrc=- tar f=text", with: importRequest + " tar f=text", look: "berth images", want: "made"},
	{of: "POST /images/create body", without: importRequest + " no-archive", with: importRequest + " tar f=text", look: "berth images", want: "made"},
	{of: "POST /images/create message", without: importRequest + " tar f=text", with: importRequest + "&message=walked tar f=text", look: "berth image inspect -f {{.Comment}} made", want: "walked"},
	{of: "POST /images/create changes", without: importRequest + " tar f=text", with: importRequest + "&changes=ENV%20A=walked tar f=text", look: "berth image inspect -f {{.Config.Env}} made", want: "A=walked"},
	{of: "GET /images/{name}/json manifests", without: "/images/busybox/json", with: "/images/busybox/json?manifests=1", want: `"Manifests":[`},
	{of: "GET /images/{name}/json platform", without: "/images/busybox/json", with: "/images/busybox/json?platform=" + s390x, want: "404"},
	{of: "GET /images/{name}/attestations platform", without: "/images/attested/attestations", with: "/images/attested/attestations?platform=" + s390x, want: "404"},
	{of: "GET /images/{name}/attestations type", without: "/images/attested/attestations", with: "/images/attested/attestations?type=nothing", want: `!slsa.dev/provenance`},
	{of: "GET /images/{name}/attestations statement", without: "/images/attested/attestations", with: "/images/attested/attestations?statement=1", want: `"buildType"`},
	{of: "GET /images/{name}/history platform", without: "/images/busybox/history", with: "/images/busybox/history?platform=" + s390x, want: "404"},
	{of: "POST /images/{name}/push tag", before: "berth tag busybox HUB/library/pushed:1\nberth tag busybox HUB/library/pushed:2", without: "/images/HUB/library/pushed/push", with: "/images/HUB/library/pushed/push?tag=2", want: "!1: digest"},
	{of: "POST /images/{name}/push platform", before: "berth tag busybox HUB/library/pushed:1", without: "/images/HUB/library/pushed/push?tag=1", with: "/images/HUB/library/pushed/push?tag=1&platform=" + s390x, want: "s390x"},
	{of: "POST /images/{name}/push header X-Registry-Auth", before: "berth tag busybox GUARD/library/pushed:1", without: "/images/GUARD/library/pushed/push?tag=1", with: "/images/GUARD/library/pushed/push?tag=1", header: login, want: "404 Not Found"},
	{of: "POST /images/{name}/tag repo", without: "/images/busybox/tag?repo=made&tag=1", with: "/images/busybox/tag?repo=UPPER&tag=1", want: "400"},
	{of: "POST /images/{name}/tag tag", without: "/images/busybox/tag?repo=made", with: "/images/busybox/tag?repo=made&tag=2", look: "berth image inspect made:2", want: "sha256:"},
	{of: "DELETE /images/{name} force", before: "berth commit runs made:1\nberth create --name xx --label walk=1 made:1", without: "/images/made:1", with: "/images/made:1?force=1", want: "Untagged"},
	{of: "DELETE /images/{name} noprune", before: "berth tag busybox made:1", without: "/images/made:2", with: "/images/made:1?noprune=1", want: "Untagged"},
	{of: "DELETE /images/{name} platforms", before: "berth tag busybox made:1", without: "/images/made:1", with: "/images/made:1?platforms=" + s390x, want: "s390x"},
	{of: "GET /images/search term", without: "/images/search", with: "/images/search?term=HUB/busybox", want: "busybox"},
	{of: "GET /images/search limit", without: "/images/search?term=HUB/busybox", with: "/images/search?term=HUB/busybox&limit=x", want: "400"},
	{of: "GET /images/search filters", without: "/images/search?term=HUB/busybox", with: `/images/search?term=HUB/busybox&filters={"nope":["1"]}`, want: "400"},
	{of: "POST /images/prune filters", before: "berth commit runs made:1", without: `/images/prune`, with: `/images/prune?filters={"dangling":["false"],"label!":["keep"]}`, want: "made:1"},
	{of: "GET /images/{name}/get platform", without: "/images/busybox/get", with: "/images/busybox/get?platform=" + s390x, want: `"message"`},
	{of: "GET /images/get platform", without: "/images/get?names=busybox", with: "/images/get?names=busybox&platform=" + s390x, want: `"message"`},
	{of: "GET /images/get names", without: "/images/get", with: "/images/get?names=busybox", want: "manifest.json"},
	{of: "POST /images/load body", without: "/images/load", with: "/images/load SAVED", want: "Loaded image: kept:1"},
	{of: "POST /images/load quiet", without: "/images/load SAVED", with: "/images/load?quiet=0 SAVED", want: `"progress`},
	{of: "POST /images/load platform", without: "/images/load SAVED", with: "/images/load?platform=" + s390x + " SAVED", want: "s390x"},
}

const buildMade = "/build?t=made&nocache=1"

// built is the row of a parameter of a build from busybox.
func built(name, others, set, dockerfile, want string) parameter {
	request := buildMade + others
	context := tarOf(`FROM busybox\n` + dockerfile)
	return parameter{of: "POST /build " + name, without: request + context, with: request + "&" + set + context, want: want}
}

func tarOf(dockerfile string) string { return " tar Dockerfile=" + dockerfile }

var buildParameters = []parameter{
	{of: "POST /build body", without: buildMade + " no-archive", with: buildMade + tarOf(`FROM busybox\nENV A=b`), want: "Successfully built"},
	{of: "POST /build dockerfile", without: buildMade + tarOf(`FROM busybox\nENV A=b`), with: buildMade + "&dockerfile=Other" + tarOf(`FROM busybox & Other=FROM busybox\nENV A=other`), look: "berth image inspect -f {{.Config.Env}} made", want: "A=other"},
	{of: "POST /build t", without: "/build?nocache=1" + tarOf(`FROM busybox\nENV A=b`), with: buildMade + tarOf(`FROM busybox\nENV A=b`), look: "berth images", want: "made"},
	built("extrahosts", "", "extrahosts=walked:10.7.7.7", `RUN cat /etc/hosts`, "walked"),
	built("remote", "", "remote=http://127.0.0.1:1/walked", `ENV A=b`, "127.0.0.1:1"),
	built("q", "", "q=1", `ENV A=b`, "!Successfully built"),
	{of: "POST /build nocache", before: "berth build -q CONTEXT", without: "/build?t=made" + tarOf(`FROM busybox\nRUN echo once\n`), with: buildMade + tarOf(`FROM busybox\nRUN echo once\n`), want: `{"stream":"once\n"}`},
	built("cachefrom", "", "cachefrom=nope", `ENV A=b`, "400"),
	{of: "POST /build pull", before: "berth tag busybox HUB/library/nobody:9", without: buildMade + tarOf(`FROM HUB/library/nobody:9\nENV A=b`), with: buildMade + "&pull=1" + tarOf(`FROM HUB/library/nobody:9\nENV A=b`), want: "not found"},
	built("memory", "", "memory=90112000", `RUN `+group("memory", "memory.limit_in_bytes", "memory.max"), "90112000"),
	built("memswap", "&memory=90112000", "memswap=99999744", `RUN `+group("memory", "memory.memsw.limit_in_bytes", "memory.swap.max"), "99999744"),
	built("cpushares", "", "cpushares=262144", `RUN echo most=$(($(`+group("cpu", "cpu.shares", "cpu.weight")+`) >= 10000))`, "most=1"),
	built("cpusetcpus", "", "cpusetcpus=0", `RUN echo cpus=$(awk '/Cpus_allowed_list/{print $2}' /proc/self/status).`, "cpus=0."),
	built("cpuperiod", "", "cpuperiod=77000", `RUN `+group("cpu", "cpu.cfs_period_us", "cpu.max"), "77000"),
	built("cpuquota", "", "cpuquota=66000", `RUN `+group("cpu", "cpu.cfs_quota_us", "cpu.max"), "66000"),
	built("buildargs", "", `buildargs={"A":"walked"}`, `ARG A\nRUN echo got=$A.`, "got=walked."),
	built("shmsize", "", "shmsize=7864320", `RUN df -k /dev/shm`, "7680"),
	built("squash", "", "squash=1", `ENV A=b`, "not supported"),
	{of: "POST /build labels", without: buildMade + tarOf(`FROM busybox\nENV A=b`), with: buildMade + `&labels={"walked":"yes"}` + tarOf(`FROM busybox\nENV A=b`), look: "berth image inspect -f {{.Config.Labels}} made", want: "walked:yes"},
	built("networkmode", "", "networkmode=none", `RUN ls /sys/class/net`, "!eth0"),
	{of: "POST /build header X-Registry-Config", without: buildMade + tarOf(`FROM GUARD/library/x:1\nENV A=b`), with: buildMade + tarOf(`FROM GUARD/library/x:1\nENV A=b`), header: "X-Registry-Config: LOGINS", want: "not found"},
	built("platform", "", "platform=nope", `ENV A=b`, "nope"),
	{of: "POST /build target", without: buildMade + tarOf(`FROM busybox AS a\nENV A=first\nFROM busybox\nENV A=last`), with: buildMade + "&target=a" + tarOf(`FROM busybox AS a\nENV A=first\nFROM busybox\nENV A=last`), look: "berth image inspect -f {{.Config.Env}} made", want: "A=first"},
	built("outputs", "&version=2", "outputs=nope", `ENV A=b`, "400"),
	built("version", "", "version=2", `ENV A=b`, "moby.buildkit.trace"),
	{of: "POST /build/prune all", before: "berth build -q -t made CONTEXT", without: "/build/prune", with: "/build/prune?all=1", look: "berth system df -v", want: "!  regular  "},
	{of: "POST /build/prune reserved-space", without: "/build/prune", with: "/build/prune?reserved-space=x", want: "400"},
	{of: "POST /build/prune max-used-space", without: "/build/prune", with: "/build/prune?max-used-space=x", want: "400"},
	{of: "POST /build/prune min-free-space", without: "/build/prune", with: "/build/prune?min-free-space=x", want: "400"},
	{of: "POST /build/prune filters", without: "/build/prune", with: `/build/prune?filters={"until":["nope"]}`, want: "400"},
}
