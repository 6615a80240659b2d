package driver

import (
	"errors"
	"maps"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
)

type journald struct{ fields map[string]string }

func openJournald(i *Info) (Driver, error) {
	if !journal.Enabled() {
		return nil, errors.New("journald is not enabled on this host")
	}
	tag, err := Tag(i, "{{.ID}}")
	if err != nil {
		return nil, err
	}
	attrs, err := newAttrs(i)
	if err != nil {
		return nil, err
	}
	return &journald{journalFields(i, tag, attrs)}, nil
}

// journalFields are what every entry carries; see systemd.journal-fields(7).
func journalFields(i *Info, tag string, attrs map[string]string) map[string]string {
	fields := map[string]string{
		"CONTAINER_ID": i.ID[:min(12, len(i.ID))], "CONTAINER_ID_FULL": i.ID, "CONTAINER_NAME": i.Name,
		"CONTAINER_TAG": tag, "IMAGE_NAME": i.ImageName, "SYSLOG_IDENTIFIER": tag,
	}
	for k, v := range attrs {
		fields[journalName(k)] = v
	}
	return fields
}

// journalName makes a key one that the journal takes: capital letters, digits
// and underscores, none of those in front.
func journalName(key string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, key)
	return strings.TrimLeft(name, "_0123456789")
}

func (j *journald) Write(m *Message) error {
	fields := maps.Clone(j.fields)
	fields["SYSLOG_TIMESTAMP"] = m.Time.UTC().Format("2006-01-02T15:04:05.999999999Z07:00")
	if p := m.Part; p != nil {
		fields["CONTAINER_PARTIAL_ID"], fields["CONTAINER_PARTIAL_ORDINAL"] = p.ID, strconv.Itoa(p.Ordinal)
		fields["CONTAINER_PARTIAL_LAST"] = strconv.FormatBool(p.Last)
		if !p.Last {
			fields["CONTAINER_PARTIAL_MESSAGE"] = "true"
		}
	}
	priority := journal.PriInfo
	if m.Stderr {
		priority = journal.PriErr
	}
	return journal.Send(string(m.Text), priority, fields)
}

func (j *journald) Close() error { return nil }
