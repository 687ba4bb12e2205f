//! Syncello: tools that act for the one user who calls.

use aws_lc_rs::digest;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::answer::{Answer, Problem, json_answer};
use crate::call::Call;

pub(crate) fn answer(call: &Call<'_>) -> Result<Answer, Problem> {
    match (&*call.segments(), &call.method) {
        (["v1", "tools", "tape", "listApps"], &Method::POST) => list_apps(call),
        (["v1", "tools", "tape", "listApps"], _) => call.other_method("POST"),
        _ => Err(Problem::not_found()),
    }
}

fn list_apps(call: &Call<'_>) -> Result<Answer, Problem> {
    let workspace_id = call.fields()?.get("workspace_id").and_then(Value::as_u64);
    let workspace_id =
        workspace_id.ok_or_else(|| Problem::bad_request("`workspace_id` must be a whole number"))?;
    let user = &call.caller.sub;
    let apps = ["Projects", "Tasks"].map(|name| (app_id(user, workspace_id, name), name));
    let data = match call.parameter("format").as_deref() {
        Some("json") => {
            let app =
                |(id, name)| json!({"app_id": id, "name": name, "workspace_id": workspace_id, "user": user});
            json!({"apps": apps.map(app)})
        }
        None | Some("text") => {
            let lines = apps.map(|(id, name)| format!("\n- {name} (app {id})")).concat();
            json!(format!("2 apps of user {user} in workspace {workspace_id}:{lines}"))
        }
        Some(_) => return Err(Problem::bad_request("`format` is either `text` or `json`")),
    };
    Ok(json_answer(StatusCode::OK, &json!({"success": true, "data": data})))
}

/// The same for the same user, workspace and name, and not another user's.
fn app_id(user: &str, workspace_id: u64, name: &str) -> u32 {
    let digest = digest::digest(&digest::SHA256, format!("{user}\n{workspace_id}\n{name}").as_bytes());
    digest.as_ref().iter().take(4).fold(0, |id, byte| (id << 8) | u32::from(*byte))
}
