package account

import (
	"context"
	"fmt"
	"time"

	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

// Team is a group of an organisation's members that is granted roles as one.
type Team struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	About   string    `json:"about"`
	Members int       `json:"members"`
	Created time.Time `json:"created"`
}

// Teams lists an organisation's teams, for members.
func (s *Service) Teams(ctx context.Context, by Principal, organisation string) ([]Team, error) {
	id, err := s.belongs(ctx, by, organisation)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `SELECT t.id, t.name, t.about, t.created, (SELECT count(*) FROM team_members m WHERE m.team = t.id)
		FROM teams t WHERE t.organisation = ? ORDER BY t.name`, id)
	return store.Collect(rows, err, func(s store.Scanner) (t Team, err error) {
		var created int64
		err = s.Scan(&t.ID, &t.Name, &t.About, &created, &t.Members)
		t.Created = moment(created)
		return t, err
	})
}

// CreateTeam makes a team without members.
func (s *Service) CreateTeam(ctx context.Context, by Principal, organisation, name, about string) (Team, error) {
	if err := ValidName("the team's name", name); err != nil {
		return Team{}, err
	}
	t := Team{ID: store.NewID(), Name: name, About: about, Created: s.now()}
	err := s.owning(ctx, by, "team.create", organisation, name, func(tx *store.Tx, id string) error {
		var kind string
		var same int64
		if err := tx.QueryRow(ctx, "SELECT kind, (SELECT count(*) FROM teams WHERE organisation = ? AND name = ?) FROM namespaces WHERE id = ?", id, name, id).Scan(&kind, &same); err != nil {
			return err
		}
		if kind != "organisation" {
			return fmt.Errorf("%w: only organisations have teams", errdefs.ErrInvalidArgument)
		}
		if same > 0 {
			return fmt.Errorf("%w: there is a team %q", errdefs.ErrAlreadyExists, name)
		}
		_, err := tx.Exec(ctx, "INSERT INTO teams (id, organisation, name, about, created) VALUES (?, ?, ?, ?, ?)", t.ID, id, name, about, t.Created.Unix())
		return err
	})
	if err != nil {
		return Team{}, err
	}
	return t, nil
}

// DeleteTeam removes a team with what it was granted.
func (s *Service) DeleteTeam(ctx context.Context, by Principal, organisation, name string) error {
	return s.inTeam(ctx, by, "team.delete", organisation, name, name, func(tx *store.Tx, team string) error {
		if _, err := tx.Exec(ctx, "DELETE FROM grants WHERE subject = ?", team); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "DELETE FROM teams WHERE id = ?", team)
		return err
	})
}

// TeamMembers lists the names of a team's members, for the organisation's.
func (s *Service) TeamMembers(ctx context.Context, by Principal, organisation, name string) ([]string, error) {
	id, err := s.belongs(ctx, by, organisation)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `SELECT n.name FROM team_members m JOIN teams t ON t.id = m.team JOIN namespaces n ON n.id = m.user_id
		WHERE t.organisation = ? AND t.name = ? ORDER BY n.name`, id, name)
	return store.Collect(rows, err, func(s store.Scanner) (name string, err error) { return name, s.Scan(&name) })
}

// AddTeamMember puts a member of the organisation into a team.
func (s *Service) AddTeamMember(ctx context.Context, by Principal, organisation, name, user string) error {
	return s.inTeam(ctx, by, "team.add", organisation, name, name+": "+user, func(tx *store.Tx, team string) error {
		member, err := userID(ctx, tx, user)
		if err != nil {
			return err
		}
		var n int64
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM members m JOIN teams t ON t.organisation = m.organisation WHERE t.id = ? AND m.user_id = ?", team, member).Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w: %s is not a member of %s", errdefs.ErrFailedPrecondition, user, organisation)
		}
		_, err = tx.Exec(ctx, "INSERT INTO team_members (team, user_id) VALUES (?, ?) ON CONFLICT (team, user_id) DO NOTHING", team, member)
		return err
	})
}

// RemoveTeamMember takes somebody out of a team.
func (s *Service) RemoveTeamMember(ctx context.Context, by Principal, organisation, name, user string) error {
	return s.inTeam(ctx, by, "team.remove", organisation, name, name+": "+user, func(tx *store.Tx, team string) error {
		member, err := userID(ctx, tx, user)
		if err != nil {
			return err
		}
		n, err := tx.Exec(ctx, "DELETE FROM team_members WHERE team = ? AND user_id = ?", team, member)
		if err == nil && n == 0 {
			return notFound("member", user)
		}
		return err
	})
}

func (s *Service) inTeam(ctx context.Context, by Principal, action, organisation, name, target string, f func(tx *store.Tx, team string) error) error {
	return s.owning(ctx, by, action, organisation, target, func(tx *store.Tx, id string) error {
		var team string
		err := tx.QueryRow(ctx, "SELECT id FROM teams WHERE organisation = ? AND name = ?", id, name).Scan(&team)
		if errdefs.IsNotFound(err) {
			return notFound("team", name)
		}
		if err != nil {
			return err
		}
		return f(tx, team)
	})
}
