//! Free loopback ports.

use std::net::TcpListener;

/// `N` different ports that are free at this moment.
pub(crate) fn free<const N: usize>() -> anyhow::Result<[u16; N]> {
    // All are held until the last is known, or the same one could come twice.
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
