package container

import (
	"io"
	"log/slog"
	"regexp"
	"time"

	"github.com/moby/moby/api/types/container"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/container/apparmor"
	"github.com/berth-engine/berth/event"
	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/kernel/quota"
	"github.com/berth-engine/berth/network"
	"github.com/berth-engine/berth/sandbox"
	"github.com/berth-engine/berth/trace"
	"github.com/berth-engine/berth/volume"
)

// Options says where containers live and what they are made with.
type Options struct {
	// Root is the directory of all containers, by convention
	// data-root/containers. It is made with mode 0710.
	Root string
	// Records is ReadRecords of Root, begun earlier. Nil: New reads them.
	Records *Reading
	// ExecRoot is the directory for what may vanish at reboot.
	ExecRoot string

	Images    *image.Store
	Networks  *network.Manager
	Sandboxes *sandbox.Runtime
	// Volumes is the store of named and anonymous volumes. Nil: New opens the
	// directory "volumes" beside Root.
	Volumes *volume.Store
	// Quotas limit root file systems; nil: those of the file system below Root.
	// They are shared with the volumes.
	Quotas *quota.Projects
	// Remap has containers run in a user namespace, unless they are asked for with
	// UsernsMode "host". Nil: nobody does.
	Remap  *Remap
	Events *event.Bus
	Log    *slog.Logger // nil: discarded
	// Traces gets where the time of what happens by itself goes. Nil: nobody asks.
	Traces *trace.Recorder

	Defaults Defaults
}

// Defaults are the daemon's settings for what a create request leaves open.
type Defaults struct {
	ShmSize      int64                        // bytes of /dev/shm; 0: 64 MiB
	RootSize     int64                        // what may be written besides volumes, bytes, see kernel/quota; 0: no limit
	Init         bool                         // run containers with --init
	StopTimeout  time.Duration                // 0: 10 s
	CgroupParent string                       // "": /berth
	Slices       bool                         // systemd makes the groups; a cgroup parent is a slice
	Ulimits      map[string]*container.Ulimit // by name; nil: none
	LogConfig    container.LogConfig          // Type "": json-file (see docs/lifecycle.md)
	DetachKeys   string                       // "": ctrl-p,ctrl-q
	NoNewPrivs   bool                         // daemon.json "no-new-privileges"
	AppArmor     *apparmor.Profile            // of containers that name none; nil: none
	Seccomp      string                       // profile as JSON, "unconfined" or "builtin"; "": builtin
	// Runtimes are the OCI runtimes besides the engine's own, by name: the
	// program's absolute path, and the arguments that come first.
	Runtimes map[string][]string
	Runtime  string // for requests that name none; "": the engine's own
	// DNS, DNSSearch and DNSOptions are for containers that name none; nil: as the
	// host's.
	DNS, DNSSearch, DNSOptions []string
	IPCMode                    container.IpcMode      // "": private
	CgroupnsMode               container.CgroupnsMode // "": private
	HostGatewayIP              string                 // what host-gateway in ExtraHosts means; "": the bridge's gateway
	CDISpecDirs                []string               // where CDI specifications of devices are; nil: /etc/cdi and /var/run/cdi
}

// CreateOptions is one request to make a container.
type CreateOptions struct {
	Name     string // "": a name is chosen; a leading slash is ignored
	Platform *ocispec.Platform
	Request  *container.CreateRequest
	// APIVersion of the request, already lifted to the newest form; "" means
	// the newest.
	APIVersion string
}

// RemoveOptions says how to remove a container.
type RemoveOptions struct {
	Force   bool // kill it first when it runs
	Volumes bool // remove its anonymous volumes
	Link    bool // the reference is PARENT/ALIAS: remove this link, and nothing else
}

// Filters are Docker's decoded filters: key, then values.
type Filters map[string]map[string]bool

// ListOptions selects containers.
type ListOptions struct {
	All     bool // also those that do not run
	Size    bool // fill in SizeRw and SizeRootFs
	Limit   int  // the newest n, also those that do not run; 0: no limit
	Filters Filters
}

// AttachOptions says which streams a client wants.
type AttachOptions struct {
	Stream bool // live streams; without it only Logs are served
	Logs   bool // replay the log first
	Stdin  bool
	Stdout bool
	Stderr bool
	// DetachKeys such as "ctrl-p,ctrl-q"; "": the daemon's default.
	DetachKeys string
}

// ExecStartOptions says how to start an exec.
type ExecStartOptions struct {
	Detach bool // return when it runs, and connect nobody
	// Tty: the client takes the output as it is, and not in frames.
	Tty bool
	// InStream: the client hears of a refusal only in the stream, and then asks
	// for the exit code. Without it, one that was refused may be started again.
	InStream    bool
	ConsoleSize *[2]uint // height and width; nil: as it was created
}

// Conn is a client's connection after the handler took it over.
type Conn interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// Hijack takes over the client's connection; it has answered the request when
// it returns. multiplexed says that the stream carries Docker's 8-byte frames
// (containers without a terminal).
type Hijack func(multiplexed bool) (Conn, error)

// LogsOptions selects entries of a container's log.
type LogsOptions struct {
	Follow     bool
	Stdout     bool
	Stderr     bool
	Timestamps bool
	Details    bool
	Grep       *regexp.Regexp // only lines that match; nil: all
	Since      time.Time      // zero: from the beginning
	Until      time.Time      // zero: to the end
	Tail       int            // the last n lines; negative: all
}
