//! Another address for somebody's account.

use claviger_server::on_every_store;
use claviger_server::testing::{Client, On, TestServer};
use serde_json::{Value, json};

use crate::mail::{OTHER, PASSWORD, mailed, mails, post, products, proving, sign_in, sign_up, with};

on_every_store!(
    somebodys_address_is_another_one_once_they_have_proven_it,
    whether_an_address_is_somebodys_shows_in_no_answer,
    whoever_has_not_proven_their_address_gets_no_other_one,
    whoever_guesses_the_password_there_is_counted_as_at_sign_in,
);

const OLD: &str = "ada@northwind.example";
const NEW: &str = "Ada@lovelace.example";

/// Somebody who has proven their address, signed in.
fn proven(server: &TestServer, email: &str, mails: usize) -> Value {
    let client = server.synq();
    sign_up(&client, email, PASSWORD, "Northwind").expect(202);
    let links = mailed(server, email, mails);
    let link = links.iter().find(|mail| mail.subject == "synq: confirm your address").unwrap();
    let body = json!({ "token": link.secret("verify"), "password": PASSWORD });
    post(&client, "verify", &body).expect(200).json()
}

fn wish(client: &Client, signed_in: &Value, email: &str, password: &str) -> (u16, String) {
    let body = json!({ "email": email, "password": password });
    let token = signed_in["access_token"].as_str().unwrap();
    let answer = client.post("/auth/v1/email", &body).bearer(token).send();
    (answer.status, answer.text())
}

fn confirm(client: &Client, signed_in: &Value, token: &str) -> u16 {
    let bearer = signed_in["access_token"].as_str().unwrap();
    client.post("/auth/v1/email/confirm", &json!({ "token": token })).bearer(bearer).send().status
}

fn somebodys_address_is_another_one_once_they_have_proven_it(on: On) {
    let server = proving(on);
    let client = server.synq();
    let ada = proven(&server, OLD, 1);
    let eve = proven(&server, "eve@northwind.example", 1);
    let elsewhere = sign_in(&client, OLD, PASSWORD).expect(200).json();
    post(&client, "password/forgot", &json!({ "email": OLD })).expect(202);
    let reset = mailed(&server, OLD, 2);
    let reset = reset.iter().find(|mail| mail.subject.contains("choose")).unwrap().secret("reset");
    assert_eq!(wish(&client, &ada, NEW, "wrong").0, 401);
    assert_eq!(wish(&client, &ada, "nonsense", PASSWORD).0, 400);
    assert_eq!(wish(&client, &ada, NEW, PASSWORD), (202, "{}".to_owned()));
    let link = mailed(&server, NEW, 1).remove(0);
    assert_eq!(link.subject, "synq: confirm your new address");
    let secret = link.secret("email");
    // Nothing is changed by a wish, and nothing by whoever only reads the mail there, or is another.
    assert_eq!((sign_in(&client, NEW, PASSWORD).status, products(&server, &elsewhere)), (401, 200));
    for path in ["verify", "password/reset"] {
        let body = json!({ "token": secret, "password": OTHER });
        assert_eq!(post(&client, path, &body).status, 401, "{path}");
    }
    assert_eq!(post(&client, "email/confirm", &json!({ "token": secret })).status, 401);
    assert_eq!(confirm(&client, &eve, &secret), 401);
    assert_eq!(confirm(&client, &ada, &reset), 401);
    assert_eq!(confirm(&client, &ada, "pf_nonsense"), 401);
    assert_eq!(confirm(&client, &ada, &secret), 204);
    // The session that asked goes on, and none besides; nothing that the old address was mailed is good any more.
    assert_eq!((products(&server, &ada), products(&server, &elsewhere)), (200, 401));
    let refreshed = json!({ "refresh_token": ada["refresh_token"] });
    post(&client, "refresh", &refreshed).expect(200);
    assert_eq!(sign_in(&client, OLD, PASSWORD).status, 401);
    sign_in(&client, "ada@LOVELACE.example", PASSWORD).expect(200);
    let body = json!({ "token": reset, "password": OTHER });
    assert_eq!(post(&client, "password/reset", &body).status, 401);
    assert_eq!(confirm(&client, &ada, &secret), 401, "it is for one use");
    let told = mailed(&server, OLD, 3);
    let told =
        told.iter().find(|mail| mail.subject == "synq: the address of your account was changed").unwrap();
    assert!(!told.body.contains('#') && !told.body.contains("lovelace"), "{}", told.body);
    // It is in the audit of nobody's tenant, and the members list has it.
    let members = client.get("/api/v1/organization/members").bearer(ada["access_token"].as_str().unwrap());
    let members = members.send().expect(200).json();
    assert_eq!(members[0]["email"], NEW);
}

fn whether_an_address_is_somebodys_shows_in_no_answer(on: On) {
    let server = proving(on);
    let client = server.synq();
    let ada = proven(&server, OLD, 1);
    proven(&server, "Eve@northwind.example", 1);
    let free = wish(&client, &ada, NEW, PASSWORD);
    assert_eq!(wish(&client, &ada, "eve@northwind.example", PASSWORD), free);
    let told = mailed(&server, "Eve@northwind.example", 2);
    let told = told.iter().find(|mail| mail.subject == "synq: this address has an account already").unwrap();
    assert!(!told.body.contains('#') && !told.body.contains("ada@"), "{}", told.body);
    // Whoever reads the mail may hear that somebody was faster.
    let link = mailed(&server, NEW, 1).remove(0).secret("email");
    proven(&server, NEW, 2);
    assert_eq!(confirm(&client, &ada, &link), 409);
    assert_eq!(products(&server, &ada), 200);
    // Such a mail counts as one to that address, whoever asks for it.
    let statuses: Vec<u16> =
        (0..6).map(|_| wish(&client, &ada, "eve@northwind.example", PASSWORD).0).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
}

fn whoever_has_not_proven_their_address_gets_no_other_one(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let ada = sign_up(&client, OLD, PASSWORD, "Northwind").expect(201).json();
    let (status, text) = wish(&client, &ada, NEW, PASSWORD);
    assert!(status == 409 && text.contains("prove the one that the account has"), "{status} {text}");
    assert!(mails(&server).is_empty());
    drop(server);
    // Where no mail is sent, there is no other address by mail.
    let server = with(on, |api| {
        api.remove("mail_page");
        api.remove("verified_email");
    });
    let client = server.synq();
    let ada = sign_up(&client, OLD, PASSWORD, "Northwind").expect(201).json();
    assert_eq!(wish(&client, &ada, NEW, PASSWORD).0, 404);
}

fn whoever_guesses_the_password_there_is_counted_as_at_sign_in(on: On) {
    let server = proving(on);
    let client = server.synq();
    let ada = proven(&server, OLD, 1);
    let statuses: Vec<u16> = (0..12).map(|_| wish(&client, &ada, NEW, "wrong").0).collect();
    assert!(statuses.ends_with(&[429]) && statuses.starts_with(&[401]), "{statuses:?}");
    assert_eq!(sign_in(&client, OLD, PASSWORD).status, 429);
    assert!(mails(&server).iter().all(|mail| mail.to == OLD));
}
