//! WebSockets where every frame is read whole: commands, and what ran out.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::failure::Failure;
use crate::net::socket::Socket;
use crate::target::Target;

pub async fn connect(target: &Target, to: SocketAddr, path: &str) -> Result<WebSocketStream<TcpStream>, Failure> {
    let mut request = format!("ws://{to}{path}").into_client_request().map_err(Box::new)?;
    if let Some(token) = &target.token {
        let bearer = HeaderValue::try_from(format!("Bearer {token}"));
        let bearer = bearer.map_err(|_| Failure::Usage("the token holds what no header may".to_owned()))?;
        request.headers_mut().insert("authorization", bearer);
    }
    let stream = Socket::connect(to, None).await?.into_stream();
    let (stream, _) = client_async(request, stream).await.map_err(Box::new)?;
    Ok(stream)
}
