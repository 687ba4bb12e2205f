//! Those who operate a server, and their tokens.

use claviger_store::audit::AuditCursor;
use claviger_store::operators::{NewOperator, TOKEN_PREFIX};
use claviger_store::testing::TestStore;
use claviger_store::{StoreError, on_every_backend};

on_every_backend!(
    a_token_is_its_operators_until_it_is_ended_or_runs_out,
    two_operators_are_not_called_the_same_at_a_time,
    what_is_no_operator_is_refused_and_nothing_is_made,
    an_operator_is_written_down_and_the_token_nowhere,
);

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

fn new(name: &str) -> NewOperator {
    NewOperator { name: name.to_owned(), role: "support", realms: None, tenants: None, days: 90 }
}

async fn a_token_is_its_operators_until_it_is_ended_or_runs_out(test: TestStore) {
    let operator = test.operator();
    let ada = operator.operator_create(new("ada")).await.unwrap();
    let bound = NewOperator { realms: Some(vec!["a".into(), "b".into()]), days: 1, ..new("bob") };
    let bob = operator.operator_create(bound).await.unwrap();
    let whose = async |token: &str| test.system().operator_of(token).await.unwrap().map(|view| view.name);
    let (ada_token, bob_token) = (ada.token.expose_text().unwrap(), bob.token.expose_text().unwrap());
    assert_eq!(bob.view.realms.as_deref(), Some(["a".to_owned(), "b".to_owned()].as_slice()));
    assert_eq!(whose(ada_token).await.as_deref(), Some("ada"));
    assert_eq!(whose(bob_token).await.as_deref(), Some("bob"));
    for wrong in ["", TOKEN_PREFIX, &ada_token[..ada_token.len() - 1], &format!("{ada_token}x"), "sk_live_x"]
    {
        assert_eq!(whose(wrong).await, None, "{wrong}");
    }
    test.clock.advance_millis(DAY_MILLIS - 1);
    assert_eq!(whose(bob_token).await.as_deref(), Some("bob"));
    test.clock.advance_millis(1);
    assert_eq!(whose(bob_token).await, None);
    operator.operator_end(ada.view.operator).await.unwrap();
    assert_eq!(whose(ada_token).await, None);
    operator.operator_end(ada.view.operator).await.unwrap();
    let mut all = operator.operator_list().await.unwrap();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["ada", "bob"]);
    assert!(all[0].ended_at.is_some() && all[1].ended_at.is_none());
}

async fn two_operators_are_not_called_the_same_at_a_time(test: TestStore) {
    let operator = test.operator();
    let first = operator.operator_create(NewOperator { days: 1, ..new("ada") }).await.unwrap();
    let second = operator.operator_create(new("ada")).await;
    assert!(matches!(second, Err(StoreError::AlreadyExists { .. })), "{second:?}");
    // Whoever has run out stands in nobody's way, and neither does whoever was ended.
    test.clock.advance_millis(DAY_MILLIS);
    let second = operator.operator_create(new("ada")).await.unwrap();
    assert_eq!(operator.operator_find("ada").await.unwrap().operator, second.view.operator);
    operator.operator_end(second.view.operator).await.unwrap();
    let nobody = operator.operator_find("ada").await;
    assert!(matches!(nobody, Err(StoreError::NotFound { .. })), "{nobody:?}");
    operator.operator_create(new("ada")).await.unwrap();
    let all = operator.operator_list().await.unwrap();
    let first = all.iter().find(|one| one.operator == first.view.operator).unwrap();
    assert_eq!(first.ended_at, Some(first.expires_at));
}

async fn what_is_no_operator_is_refused_and_nothing_is_made(test: TestStore) {
    let operator = test.operator();
    for wrong in [
        new(""),
        new("two words"),
        new(&"a".repeat(65)),
        new("line\nbreak"),
        new("root"),
        new("UID-1000"),
        NewOperator { days: 0, ..new("ada") },
        NewOperator { days: 401, ..new("ada") },
    ] {
        let said = operator.operator_create(wrong.clone()).await;
        assert!(matches!(said, Err(StoreError::Invalid(_))), "{wrong:?}: {said:?}");
    }
    assert!(operator.operator_list().await.unwrap().is_empty());
}

async fn an_operator_is_written_down_and_the_token_nowhere(test: TestStore) {
    let operator = test.operator();
    let made = operator.operator_create(new("ada")).await.unwrap();
    operator.operator_end(made.view.operator).await.unwrap();
    let token = made.token.expose_text().unwrap();
    assert!(!format!("{made:?}").contains(token));
    let entries = operator.audit_list(AuditCursor::NEWEST, 10).await.unwrap();
    let of_ada: Vec<&str> = entries
        .iter()
        .filter(|entry| entry.entity_id == made.view.operator.to_string())
        .map(|entry| entry.action.as_str())
        .collect();
    assert_eq!(of_ada, ["OPERATOR_ENDED", "OPERATOR_CREATED"]);
    assert!(!format!("{entries:?}").contains(token.strip_prefix(TOKEN_PREFIX).unwrap()));
}
