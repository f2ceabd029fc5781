//! AUTHD_ISSUER=http://localhost:8000 cargo run

mod auth;

use std::{env, sync::Arc, time::Duration};

use auth::{User, Verifier};
use axum::{Json, Router, routing::get};

#[derive(Clone)]
struct App(Arc<Verifier>);

impl AsRef<Verifier> for App {
    fn as_ref(&self) -> &Verifier {
        &self.0
    }
}

async fn whoami(user: User) -> Json<serde_json::Value> {
    Json(serde_json::json!({ "sub": user.sub }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let issuer = env::var("AUTHD_ISSUER")?;
    let cooldown = env::var("JWKS_COOLDOWN").map_or(Ok(30), |text| text.parse())?;
    let verifier = Verifier::new(&issuer, env::var("AUTHD_JWKS_URL").ok(), Duration::from_secs(cooldown));
    let app = Router::new().route("/whoami", get(whoami)).with_state(App(Arc::new(verifier)));

    let port = env::var("PORT").unwrap_or_else(|_| "3003".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
