//! The network among members, and against one that does not keep the rules. All on 127.0.0.1, ports of the
//! system's choosing; every deadline is far above what is measured.

#[cfg(test)]
mod conduct;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod links;
#[cfg(test)]
mod world;
