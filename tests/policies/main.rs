//! Who may do what to the table and the bucket, over many more questions than journeys ask: the roles' policies as Terraform
//! renders them and the session policy that the functions make, held against rules that were written down apart from them.

#[cfg(test)]
mod ask;
#[cfg(test)]
mod mutations;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod rules;

#[cfg(test)]
mod questions;
