package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/config"
	engine "github.com/berth-engine/berth/container"
	"github.com/berth-engine/berth/image"
)

// reloadable are the settings that a reload applies.
var reloadable = []string{
	"authorization-plugins", "debug", "default-runtime", "image-gc", "insecure-registries", "labels", "live-restore", "log-level",
	"max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts", "registries", "registry-config-dirs",
	"registry-mirrors", "runtimes", "shutdown-timeout", "signature-policy",
}

// reload reads the configuration again and applies what can change while
// running; the rest waits for the next start.
func (d *daemon) reload() {
	old := d.cfg.Load()
	fresh, err := config.Load(d.args)
	if err != nil {
		d.log.Error("configuration not reloaded", "error", err)
		return
	}
	if plugins := d.plugins.Load(); plugins != nil {
		if err := checkAuthz(context.Background(), plugins, fresh.AuthzPlugins); err != nil {
			d.log.Error("configuration not reloaded", "error", err)
			return
		}
	}
	rules, err := image.LoadPolicy(fresh.SignaturePolicy)
	if err != nil {
		d.log.Error("configuration not reloaded", "error", err)
		return
	}
	for _, key := range config.Changed(old, fresh) {
		if !slices.Contains(reloadable, key) {
			d.log.Warn("a setting has changed that counts after the next start", "setting", key)
		}
	}
	next := *old
	next.AuthzPlugins = fresh.AuthzPlugins
	next.Debug, next.LogLevel, next.Labels = fresh.Debug, fresh.LogLevel, fresh.Labels
	next.RegistryMirrors, next.InsecureRegistries, next.Registries = fresh.RegistryMirrors, fresh.InsecureRegistries, fresh.Registries
	next.SignaturePolicy, next.ImageGC = fresh.SignaturePolicy, fresh.ImageGC
	next.RegistryDirs, next.DownloadAttempts = fresh.RegistryDirs, fresh.DownloadAttempts
	next.MaxDownloads, next.MaxUploads = fresh.MaxDownloads, fresh.MaxUploads
	next.Runtimes, next.DefaultRuntime = fresh.Runtimes, fresh.DefaultRuntime
	next.LiveRestore, next.ShutdownTimeout = fresh.LiveRestore, fresh.ShutdownTimeout
	d.cfg.Store(&next)
	d.level.Set(next.Level())
	images := d.images.Load()
	if images == nil {
		return // still starting; it will read the new settings
	}
	images.SetRegistries(registries(&next))
	images.SetPolicy(rules)
	images.SetLimits(imageLimits(&next))
	images.SetTransfers(next.MaxDownloads, next.MaxUploads)
	if containers := d.containers.Load(); containers != nil {
		containers.SetRuntimes(next.Commands(), next.DefaultRuntime)
	}
	d.events.Publish(events.Message{
		Type: events.DaemonEventType, Action: events.ActionReload,
		Actor: events.Actor{ID: d.id, Attributes: map[string]string{
			"name": d.name, "debug": fmt.Sprint(next.Debug), "labels": fmt.Sprint(next.Labels),
			"registry-mirrors": fmt.Sprint(next.RegistryMirrors), "insecure-registries": fmt.Sprint(next.InsecureRegistries),
			"max-concurrent-downloads": fmt.Sprint(next.MaxDownloads), "max-concurrent-uploads": fmt.Sprint(next.MaxUploads),
			"max-download-attempts": fmt.Sprint(next.DownloadAttempts), "live-restore": fmt.Sprint(next.LiveRestore),
			"default-runtime": cmp.Or(next.DefaultRuntime, engine.OwnRuntime), "shutdown-timeout": fmt.Sprint(next.ShutdownTimeout),
		}},
	})
	d.log.Info("configuration reloaded", "file", next.File)
}
