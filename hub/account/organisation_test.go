package account

import (
	"errors"
	"testing"

	"github.com/berth-engine/berth/hub/audit"
	"github.com/containerd/errdefs"
)

func testOrganisations(t *testing.T, w *world) {
	ctx := t.Context()
	if _, err := w.CreateOrganisation(ctx, w.ann, "acme"); err != nil {
		t.Fatal(err)
	}
	is(t, "a stranger", w.SetMember(ctx, w.bert, "acme", "bert", "owner"), errdefs.ErrPermissionDenied)
	_, err := w.Members(ctx, w.bert, "acme")
	is(t, "a stranger's list", err, errdefs.ErrPermissionDenied)
	is(t, "the last owner", w.RemoveMember(ctx, w.ann, "acme", "ann"), errdefs.ErrFailedPrecondition)
	is(t, "the last owner's role", w.SetMember(ctx, w.ann, "acme", "ann", "member"), errdefs.ErrFailedPrecondition)
	if _, err := w.CreateTeam(ctx, w.ann, "acme", "devs", ""); err != nil {
		t.Fatal(err)
	}
	is(t, "not a member", w.AddTeamMember(ctx, w.ann, "acme", "devs", "bert"), errdefs.ErrFailedPrecondition)
	is(t, "nobody", w.SetMember(ctx, w.ann, "acme", "nobody", "member"), errdefs.ErrNotFound)
	is(t, "no role", w.SetMember(ctx, w.ann, "acme", "bert", "king"), errdefs.ErrInvalidArgument)
	if err := errors.Join(w.SetMember(ctx, w.ann, "acme", "bert", "member"), w.AddTeamMember(ctx, w.ann, "acme", "devs", "bert")); err != nil {
		t.Fatal(err)
	}
	is(t, "a member rules", w.SetMember(ctx, w.bert, "acme", "bert", "owner"), errdefs.ErrPermissionDenied)
	is(t, "a user's namespace", w.SetMember(ctx, w.ann, "ann", "bert", "owner"), errdefs.ErrInvalidArgument)
	if names, err := w.TeamMembers(ctx, w.bert, "acme", "devs"); err != nil || len(names) != 1 || names[0] != "bert" {
		t.Errorf("%v, %v", names, err)
	}
	if err := w.RemoveMember(ctx, w.bert, "acme", "bert"); err != nil {
		t.Errorf("leaving: %v", err)
	}
	if names, err := w.TeamMembers(ctx, w.ann, "acme", "devs"); err != nil || len(names) != 0 {
		t.Errorf("still in the team: %v, %v", names, err)
	}
	entries, err := w.Audit(ctx, w.ann, audit.Filter{Namespace: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, e := range entries {
		seen[e.Action+" "+e.Result]++
	}
	for _, want := range []string{"organisation.create ok", "member.set ok", "member.set refused", "team.create ok", "member.remove ok"} {
		if seen[want] == 0 {
			t.Errorf("the audit log has no %q: %v", want, seen)
		}
	}
	_, err = w.Audit(ctx, w.bert, audit.Filter{Namespace: "acme"})
	is(t, "a stranger's audit", err, errdefs.ErrPermissionDenied)
	_, err = w.Audit(ctx, w.bert, audit.Filter{})
	is(t, "the whole audit", err, errdefs.ErrPermissionDenied)
	if err := w.DeleteOrganisation(ctx, w.ann, "acme"); err != nil {
		t.Error(err)
	}
}
