// Fluxless in one resource group: wiring only, every resource is in a module.
targetScope = 'resourceGroup'

@description('Prefix of all names.')
@minLength(3)
@maxLength(16)
param name string = 'fluxless'

param location string = resourceGroup().location
param tags object = {}

@description('Clusters that are reconciled: name (what Fluxless calls it) and resourceId; mayOpen, and openAs, as in FLUXLESS_CLUSTERS.')
param clusters array

@description('Registries: resourceId; events (pushes wake the app); abac (the registry asks for repository permissions).')
param registries array = []

@description('Storage accounts that Buckets are in, by resource id: the identity of sources may read their blobs.')
param bucketAccountIds array = []

@description('True: sources are read, and vaults opened for objects, by the identity that is made for it, which rules nothing. It is made, with its roles, in any case; access to Azure DevOps is given by hand.')
param sourceIdentity bool = false

@description('False where Kubernetes RBAC is bound to the identity by hand instead of Azure RBAC.')
param azureRbac bool = true

@description('A network of its own, with private endpoints to storage and vault. Private clusters need it.')
param privateNetwork bool = false

@description('Addresses and ranges that objects may lead to besides public ones, with commas between: FLUXLESS_ALLOWED_ADDRESSES. Empty: the network of the app, where it has one.')
param allowedAddresses string = ''

@description('Networks of private clusters, by resource id: peered with the network of the app.')
param peerNetworkIds array = []

@description('Private DNS zones of private clusters, by resource id: linked to the network of the app.')
param clusterDnsZoneIds array = []

@description('Durable Task Scheduler in place of queues and tables of the storage account.')
param durableTaskScheduler bool = false

@description('Instances kept warm for orchestrations; 0 is the cheapest, 1 answers a webhook at once.')
@minValue(0)
@maxValue(10)
param durableAlwaysReady int = 1

@allowed([
  '3.11'
  '3.12'
  '3.13'
])
param pythonVersion string = '3.12'

@minValue(1)
@maxValue(1000)
param maximumInstances int = 40

@description('An image of the app (infra/selfhost): it runs in Azure Container Apps then, in place of Flex Consumption.')
param image string = ''

@description('Login server of the registry that the image is pulled from with the identity of the app.')
param imageRegistry string = ''

@description('Whom alerts are sent to; empty shows them in the portal alone.')
param alertEmail string = ''

@description('Further app settings by name, as docs/operations.md has them; secrets as references to the vault.')
param settings object = {}

var roles = loadJsonContent('roles.json')
var suffix = uniqueString(resourceGroup().id, name)
var storageName = take(toLower('${replace(name, '-', '')}${suffix}'), 24)
var taskHub = 'fluxless'
// Only what is given: an app of before, which runs until the package is in place, knows no other fields.
var clusterSettings = [for cluster in clusters: union({
  name: cluster.name
  resourceId: cluster.resourceId
}, contains(cluster, 'mayOpen') ? {
  mayOpen: cluster.mayOpen
} : {}, contains(cluster, 'openAs') ? {
  openAs: cluster.openAs
} : {})]

module identity 'modules/identity.bicep' = {
  name: 'identity'
  params: {
    name: '${name}-identity'
    location: location
    tags: tags
  }
}

module sources 'modules/identity.bicep' = {
  name: 'sources'
  params: {
    name: '${name}-sources'
    location: location
    tags: tags
  }
}

module network 'modules/network.bicep' = if (privateNetwork) {
  name: 'network'
  params: {
    name: '${name}-network'
    location: location
    tags: tags
    peerNetworkIds: peerNetworkIds
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    name: storageName
    location: location
    tags: tags
    principalId: identity.outputs.principalId
    publicAccess: !privateNetwork
    roles: {
      blobs: roles.storageBlobDataOwner
      queues: roles.storageQueueDataContributor
      tables: roles.storageTableDataContributor
    }
  }
}

module vault 'modules/key-vault.bicep' = {
  name: 'vault'
  params: {
    name: take('${name}-${suffix}', 24)
    location: location
    tags: tags
    principalId: identity.outputs.principalId
    publicAccess: !privateNetwork
    roles: {
      secrets: roles.keyVaultSecretsUser
      keys: roles.keyVaultCryptoUser
    }
    sourcePrincipalId: sources.outputs.principalId
    sourceRole: roles.keyVaultCryptoUser
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    name: name
    location: location
    tags: tags
    principalId: identity.outputs.principalId
    publisherRole: roles.monitoringMetricsPublisher
  }
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  params: {
    name: name
    location: location
    tags: tags
    insightsId: monitoring.outputs.id
    email: alertEmail
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  params: {
    name: name
    location: location
    tags: tags
    insightsId: monitoring.outputs.id
  }
}

module scheduler 'modules/scheduler.bicep' = if (durableTaskScheduler) {
  name: 'scheduler'
  params: {
    name: '${name}-scheduler'
    location: location
    tags: tags
    taskHub: taskHub
    principalId: identity.outputs.principalId
    role: roles.durableTaskDataContributor
  }
}

module endpoints 'modules/private-endpoint.bicep' = [for service in privateNetwork ? [
  'blob'
  'queue'
  'table'
] : []: {
  name: 'endpoint-${service}'
  params: {
    name: '${name}-${service}'
    location: location
    tags: tags
    subnetId: network.outputs.endpointSubnetId
    networkId: network.outputs.id
    resourceId: storage.outputs.id
    service: service
    zoneName: 'privatelink.${service}.${environment().suffixes.storage}'
  }
}]

module vaultEndpoint 'modules/private-endpoint.bicep' = if (privateNetwork) {
  name: 'endpoint-vault'
  params: {
    name: '${name}-vault'
    location: location
    tags: tags
    subnetId: network.outputs.endpointSubnetId
    networkId: network.outputs.id
    resourceId: vault.outputs.id
    service: 'vault'
    zoneName: 'privatelink.vaultcore.azure.net'
  }
}

module clusterDns 'modules/cluster-dns.bicep' = [for (zone, index) in privateNetwork ? clusterDnsZoneIds : []: {
  name: 'cluster-dns-${index}'
  scope: resourceGroup(split(zone, '/')[2], split(zone, '/')[4])
  params: {
    zoneName: last(split(zone, '/'))
    networkId: network.outputs.id
  }
}]

module clusterAccess 'modules/cluster-access.bicep' = [for (cluster, index) in clusters: {
  name: 'cluster-${index}'
  scope: resourceGroup(split(cluster.resourceId, '/')[2], split(cluster.resourceId, '/')[4])
  params: {
    clusterName: last(split(cluster.resourceId, '/'))
    principalId: identity.outputs.principalId
    roles: azureRbac ? {
      reach: roles.aksClusterUser
      within: roles.aksRbacClusterAdmin
    } : {
      reach: roles.aksClusterUser
    }
  }
}]

module registryAccess 'modules/registry-access.bicep' = [for (registry, index) in registries: {
  name: 'registry-${index}'
  scope: resourceGroup(split(registry.resourceId, '/')[2], split(registry.resourceId, '/')[4])
  params: {
    registryName: last(split(registry.resourceId, '/'))
    principalId: identity.outputs.principalId
    role: registry.abac ? roles.containerRegistryRepositoryReader : roles.acrPull
  }
}]

module sourceRegistryAccess 'modules/registry-access.bicep' = [for (registry, index) in registries: {
  name: 'source-registry-${index}'
  scope: resourceGroup(split(registry.resourceId, '/')[2], split(registry.resourceId, '/')[4])
  params: {
    registryName: last(split(registry.resourceId, '/'))
    principalId: sources.outputs.principalId
    role: registry.abac ? roles.containerRegistryRepositoryReader : roles.acrPull
  }
}]

module bucketAccess 'modules/storage-role.bicep' = [for (account, index) in bucketAccountIds: {
  name: 'bucket-${index}'
  scope: resourceGroup(split(account, '/')[2], split(account, '/')[4])
  params: {
    storageName: last(split(account, '/'))
    principalId: sources.outputs.principalId
    role: roles.storageBlobDataReader
  }
}]

module registryTopic 'modules/registry-topic.bicep' = [for (registry, index) in registries: if (registry.events) {
  name: 'registry-topic-${index}'
  scope: resourceGroup(split(registry.resourceId, '/')[2], split(registry.resourceId, '/')[4])
  params: {
    registryName: last(split(registry.resourceId, '/'))
    location: location
    tags: tags
  }
}]

module registrySender 'modules/storage-role.bicep' = [for (registry, index) in registries: if (registry.events) {
  name: 'registry-sender-${index}'
  params: {
    storageName: storage.outputs.name
    principalId: registryTopic[index].outputs.principalId
    role: roles.storageQueueDataMessageSender
  }
}]

module registrySubscription 'modules/registry-subscription.bicep' = [for (registry, index) in registries: if (registry.events) {
  name: 'registry-subscription-${index}'
  scope: resourceGroup(split(registry.resourceId, '/')[2], split(registry.resourceId, '/')[4])
  params: {
    topicName: registryTopic[index].outputs.name
    storageId: storage.outputs.id
    queueName: 'events'
  }
  dependsOn: [
    registrySender
  ]
}]

var storageSettings = {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identity.outputs.clientId
  AzureWebJobsStorage__blobServiceUri: storage.outputs.blobEndpoint
  AzureWebJobsStorage__queueServiceUri: storage.outputs.queueEndpoint
  AzureWebJobsStorage__tableServiceUri: storage.outputs.tableEndpoint
}
var callerSettings = {
  FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: '4194304'
}
var eventSettings = {
  FLUXLESS_EVENTS_QUEUE: 'events'
  FLUXLESS_EVENTS__credential: 'managedidentity'
  FLUXLESS_EVENTS__clientId: identity.outputs.clientId
  FLUXLESS_EVENTS__queueServiceUri: storage.outputs.queueEndpoint
}
var monitoringSettings = {
  APPLICATIONINSIGHTS_CONNECTION_STRING: monitoring.outputs.connectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.outputs.clientId};Authorization=AAD'
}
var schedulerSettings = durableTaskScheduler ? {
  AzureFunctionsJobHost__extensions__durableTask__storageProvider__type: 'azureManaged'
  AzureFunctionsJobHost__extensions__durableTask__storageProvider__connectionStringName: 'DURABLE_TASK_SCHEDULER_CONNECTION_STRING'
  DURABLE_TASK_SCHEDULER_CONNECTION_STRING: 'Endpoint=${scheduler.outputs.endpoint};Authentication=ManagedIdentity;ClientID=${identity.outputs.clientId}'
} : {}
var fluxlessSettings = {
  FLUXLESS_CLUSTERS: string(clusterSettings)
  FLUXLESS_BLOB_ACCOUNT_URL: 'https://${storageName}.blob.${environment().suffixes.storage}'
  FLUXLESS_BLOB_CONTAINER: 'fluxless'
  FLUXLESS_IDENTITY_CLIENT_ID: identity.outputs.clientId
  FLUXLESS_TASK_HUB: taskHub
  FLUXLESS_ALLOWED_ADDRESSES: empty(allowedAddresses) && privateNetwork ? network.outputs.addressPrefix : allowedAddresses
}

var sourceSettings = sourceIdentity ? {
  FLUXLESS_SOURCE_IDENTITY_CLIENT_ID: sources.outputs.clientId
} : {}

var allSettings = union(storageSettings, callerSettings, eventSettings, monitoringSettings, schedulerSettings, fluxlessSettings, sourceSettings, settings)

module app 'modules/function-app.bicep' = if (empty(image)) {
  name: 'app'
  params: {
    name: '${name}-${suffix}'
    location: location
    tags: tags
    identityId: identity.outputs.id
    sourceIdentityId: sources.outputs.id
    identityClientId: identity.outputs.clientId
    packageContainer: '${storage.outputs.blobEndpoint}deploy'
    subnetId: privateNetwork ? network.outputs.appSubnetId : ''
    pythonVersion: pythonVersion
    maximumInstances: maximumInstances
    durableAlwaysReady: durableAlwaysReady
    settings: allSettings
  }
}

module containerApp 'modules/container-app.bicep' = if (!empty(image)) {
  name: 'container-app'
  params: {
    name: take('${name}-${suffix}', 32)
    location: location
    tags: tags
    identityId: identity.outputs.id
    sourceIdentityId: sources.outputs.id
    image: image
    imageRegistry: imageRegistry
    subnetId: privateNetwork ? network.outputs.appSubnetId : ''
    settings: allSettings
  }
  // A container app is refused whose image cannot be pulled, or whose secrets cannot be read, while it is made.
  dependsOn: [
    registryAccess
    vault
  ]
}

output appName string = empty(image) ? app.outputs.name : containerApp.outputs.name
output hostName string = empty(image) ? app.outputs.hostName : containerApp.outputs.hostName
output identityClientId string = identity.outputs.clientId
output identityPrincipalId string = identity.outputs.principalId
output sourcePrincipalId string = sources.outputs.principalId
output storageName string = storage.outputs.name
output vaultUri string = vault.outputs.uri
output loginServers array = [for (registry, index) in registries: registryAccess[index].outputs.loginServer]
